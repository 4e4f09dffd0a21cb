// Shows the API's own description and tries its operations. All text goes in as text, never as HTML.
"use strict";

const KEY = "sluice-token";

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) made.setAttribute(key, value);
  for (const child of children) made.append(child);
  return made;
}

// The token comes in the fragment, which no server sees, and leaves the address bar at once.
function tokenFromAddress() {
  const match = /(?:^#|&)token=([^&]+)/.exec(location.hash);
  if (!match) return;
  sessionStorage.setItem(KEY, decodeURIComponent(match[1]));
  history.replaceState(null, "", location.pathname);
}

function call(path, options) {
  const headers = Object.assign({}, options && options.headers);
  const token = sessionStorage.getItem(KEY);
  if (token) headers.Authorization = "Bearer " + token;
  return fetch(path, Object.assign({}, options, { headers }));
}

function say(text) {
  document.getElementById("state").textContent = text;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function example(content) {
  for (const [kind, media] of Object.entries(content || {})) {
    if (media.example !== undefined) {
      return { kind, text: typeof media.example === "string" ? media.example : JSON.stringify(media.example, null, 2) };
    }
  }
  return null;
}

function parameterRows(operation, inputs) {
  const table = element("table");
  for (const parameter of operation.parameters || []) {
    const input = element("input", { class: "parameter", "aria-label": parameter.name });
    if (parameter.required) input.required = true;
    inputs.push({ parameter, input });
    table.append(element("tr", {}, element("td", {}, parameter.name), element("td", {}, parameter.description || "", input)));
  }
  return table;
}

async function send(method, path, inputs, body, kind, output) {
  let address = path;
  const query = new URLSearchParams();
  const headers = {};
  for (const { parameter, input } of inputs) {
    if (input.value === "") continue;
    if (parameter.in === "path") address = address.replace("{" + parameter.name + "}", encodeURIComponent(input.value));
    if (parameter.in === "query") query.set(parameter.name, input.value);
    if (parameter.in === "header") headers[parameter.name] = input.value;
  }
  if (query.size) address += "?" + query;
  const options = { method, headers };
  if (body) {
    options.body = body.value;
    headers["Content-Type"] = kind;
  }
  output.textContent = "…";
  try {
    const response = await call(address, options);
    if ((response.headers.get("Content-Type") || "").startsWith("text/event-stream")) {
      output.textContent = response.status + "\n";
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) output.textContent += part.value;
      return;
    }
    output.textContent = response.status + " " + response.statusText + "\n\n" + pretty(await response.text());
  } catch (error) {
    output.textContent = String(error);
  }
}

function section(path, method, operation) {
  const inputs = [];
  const box = element("details", { id: operation.operationId },
    element("summary", {},
      element("span", { class: "method" }, method.toUpperCase()),
      element("code", {}, path),
      element("span", { class: "summary" }, operation.summary || "")));
  if (operation.description) box.append(element("p", { class: "text" }, operation.description));
  box.append(parameterRows(operation, inputs));
  let body = null;
  let kind = null;
  if (operation.requestBody) {
    const given = example(operation.requestBody.content);
    kind = given ? given.kind : Object.keys(operation.requestBody.content)[0];
    body = element("textarea", { rows: 8, "aria-label": "body" });
    body.value = given ? given.text : "";
    box.append(element("p", {}, "Body, " + kind), body);
  }
  const responses = element("table");
  for (const [status, response] of Object.entries(operation.responses)) {
    const cell = element("td", {}, response.description || "");
    const shown = example(response.content);
    if (shown) cell.append(element("pre", {}, shown.text));
    responses.append(element("tr", {}, element("td", {}, status), cell));
  }
  const output = element("pre", { "aria-live": "polite" });
  const button = element("button", { type: "button" }, "Send");
  button.addEventListener("click", () => send(method.toUpperCase(), path, inputs, body, kind, output));
  box.append(element("p", {}, button), output, element("h3", {}, "Answers"), responses);
  return box;
}

function show(api) {
  const contents = document.getElementById("contents");
  const operations = document.getElementById("operations");
  contents.replaceChildren();
  operations.replaceChildren();
  for (const tag of api.tags || []) {
    const boxes = [];
    for (const [path, item] of Object.entries(api.paths)) {
      for (const [method, operation] of Object.entries(item)) {
        if ((operation.tags || []).includes(tag.name)) boxes.push(section(path, method, operation));
      }
    }
    if (!boxes.length) continue;
    const anchor = tag.name.replace(/ /g, "-");
    contents.append(element("a", { href: "#" + anchor }, tag.name));
    operations.append(element("h2", { id: anchor }, tag.name), element("p", {}, tag.description || ""), ...boxes);
  }
}

async function load() {
  if (!sessionStorage.getItem(KEY)) return say("Paste a token: `sluice token create` makes one.");
  const response = await call("/api/v1/openapi.json");
  if (!response.ok) return say("The token was refused (" + response.status + ").");
  const api = await response.json();
  show(api);
  say(api.info.description);
}

document.getElementById("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, document.getElementById("token").value.trim());
  document.getElementById("token").value = "";
  load();
});

tokenFromAddress();
load();
