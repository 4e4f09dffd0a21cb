// No preprocessing: TypeScript in components is what Svelte strips itself.
export default {};
