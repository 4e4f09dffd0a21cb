//! The index on disk: opening, following the store, committing, searching. Not the checks of its
//! folder (see [`crate::place`]).

use std::{
    collections::BTreeSet,
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use sluice_finding::{Finding, FindingId, Triage};
use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, TantivyError,
    directory::MmapDirectory,
    indexer::{IndexWriterOptions, LogMergePolicy},
};

use crate::{
    IndexError, SearchError, SearchPage, SearchRequest, collect, compile,
    deadline::Deadline,
    document::{document, id_term},
    fields::{self, FORMAT, Fields},
    place::{Place, sync},
    query,
    snapshot::Snapshot,
};

/// What the index may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSettings {
    /// Bytes of findings that are gathered before they are written, 15 MiB to 4 GiB. 64 MiB hold
    /// about 20,000 findings of 3 kB; less makes more and smaller files, which are merged later.
    pub writer_memory: usize,
    /// Changes after which [`FindingIndex::apply`] commits by itself. A commit is a few fsyncs
    /// (10 to 50 ms on a disk); a crash repeats at most so many changes from the store.
    pub commit_every: u64,
    /// An index of at most so many bytes is read whole at [`FindingIndex::open`] and its checksums
    /// compared: about 0.3 s for the default of 256 MiB. A larger one is checked by
    /// [`FindingIndex::verify`] only.
    pub verify_up_to: u64,
    /// Values of a facet above which it is refused. Counting takes 8 bytes a value: 512 KiB.
    pub max_facet_values: usize,
    /// A search that takes longer is refused: see [`FindingIndex::search`]. Of a million findings no
    /// measured one takes a tenth of the default of 5 s.
    pub longest_search: Duration,
}

impl Default for IndexSettings {
    fn default() -> Self {
        IndexSettings {
            writer_memory: 64 << 20,
            commit_every: 10_000,
            verify_up_to: 256 << 20,
            max_facet_values: 65_536,
            longest_search: Duration::from_secs(5),
        }
    }
}

/// Full-text and field search over findings and their triage.
///
/// Cheap to clone. One writer, any number of searches, which see the last commit. One thread
/// writes, one merges.
#[derive(Clone)]
pub struct FindingIndex {
    shared: Arc<Shared>,
}

struct Shared {
    dir: PathBuf,
    settings: IndexSettings,
    index: Index,
    reader: IndexReader,
    fields: Fields,
    /// What searches see.
    snapshot: Mutex<Arc<Snapshot>>,
    writer: Mutex<Writer>,
    /// The sequence of the last commit.
    committed: AtomicU64,
}

struct Writer {
    /// `None` after a failure, until [`FindingIndex::recover`].
    open: Option<IndexWriter>,
    /// The sequence of the last change that was applied.
    cursor: u64,
    /// Changes since the last commit.
    pending: u64,
}

impl FindingIndex {
    /// Opens the index in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] and [`IndexError::Foreign`] name the file and the folder to delete.
    pub fn open(dir: &Path, settings: IndexSettings) -> Result<FindingIndex, IndexError> {
        if !(15 << 20..=4_usize << 30).contains(&settings.writer_memory) {
            return Err(IndexError::Setting(format!(
                "the index writer takes 15 MiB to 4 GiB of memory, not {} bytes",
                settings.writer_memory
            )));
        }
        if settings.commit_every == 0 {
            return Err(IndexError::Setting(
                "the index cannot commit every 0 changes: 1 or more".to_owned(),
            ));
        }
        let at = Place { dir };
        fs::create_dir_all(dir).map_err(|source| at.io(dir, source))?;
        let (schema, fields) = Fields::schema();
        let directory = MmapDirectory::open(dir).map_err(|e| at.read(e.into()))?;
        let fresh = at.is_fresh()?;
        let index = if fresh {
            Index::create(directory, schema.clone(), tantivy::IndexSettings::default())
        } else {
            Index::open(directory)
        };
        let index = index.map_err(|e| at.read(e))?;
        fields::register(&index);
        if index.schema() != schema {
            return Err(at.foreign("its fields differ".to_owned()));
        }
        let committed = if fresh { 0 } else { at.cursor(&index)? };
        if at.bytes()? <= settings.verify_up_to {
            at.verify(&index)?;
        }
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(|e: TantivyError| at.read(e))?;
        let writer = Writer {
            open: Some(open_writer(&index, &settings).map_err(|e| at.write(e))?),
            cursor: committed,
            pending: 0,
        };
        let snapshot = at.snapshot(&reader, None, &settings)?;
        let shared = Shared {
            dir: dir.to_owned(),
            settings,
            index,
            reader,
            fields,
            snapshot: Mutex::new(Arc::new(snapshot)),
            writer: Mutex::new(writer),
            committed: AtomicU64::new(committed),
        };
        let index = FindingIndex { shared: Arc::new(shared) };
        if fresh {
            // The payload tells an empty index of ours from another's.
            let mut writer = index.writer();
            index.commit_now(&mut writer)?;
            drop(writer);
            if let Some(parent) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
                sync(parent)?;
            }
        }
        Ok(index)
    }

    /// The sequence of the store up to which the last commit goes. 0: nothing yet.
    pub fn cursor(&self) -> u64 {
        self.shared.committed.load(Ordering::Acquire)
    }

    /// How many findings the last commit holds.
    pub fn len(&self) -> u64 {
        self.snapshot().searcher.num_docs()
    }

    /// Whether the last commit holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes over changes of the store: `changed` findings are added or replaced, `removed` ones
    /// deleted. `cursor` is the sequence of the last of them. Twice is as good as once. Commits after
    /// [`IndexSettings::commit_every`] changes.
    ///
    /// # Errors
    /// After an error what was not committed is lost: [`FindingIndex::recover`] says from where to
    /// feed again, and until then every write answers [`IndexError::Behind`].
    pub fn apply(
        &self,
        changed: &[(&Finding, &Triage)],
        removed: &[FindingId],
        cursor: u64,
    ) -> Result<(), IndexError> {
        let mut writer = self.writer();
        let Some(open) = writer.open.as_ref() else { return Err(self.behind()) };
        let fields = &self.shared.fields;
        let added = (|| {
            let ids = removed.iter().copied().chain(changed.iter().map(|(f, _)| f.id));
            for id in ids {
                if let Some(term) = id_term(fields, id) {
                    open.delete_term(term);
                }
            }
            // A finding that stands twice in one call: the last one counts.
            let mut seen = BTreeSet::new();
            for (finding, triage) in changed.iter().rev() {
                if seen.insert(finding.id) {
                    open.add_document(document(fields, finding, triage))?;
                }
            }
            Ok(())
        })();
        if let Err(error) = added {
            return Err(self.failed(&mut writer, error));
        }
        writer.pending += (changed.len() + removed.len()) as u64;
        writer.cursor = writer.cursor.max(cursor);
        if writer.pending >= self.shared.settings.commit_every {
            self.commit_now(&mut writer)?;
        }
        Ok(())
    }

    /// Makes what was applied durable and visible to searches. Costs nothing if there is nothing.
    ///
    /// # Errors
    /// As [`FindingIndex::apply`].
    pub fn commit(&self) -> Result<(), IndexError> {
        let mut writer = self.writer();
        if writer.open.is_none() {
            return Err(self.behind());
        }
        if writer.pending == 0 && writer.cursor == self.cursor() {
            return Ok(());
        }
        self.commit_now(&mut writer)
    }

    /// Opens the writer again after a failure. The answer is the sequence to feed from.
    ///
    /// # Errors
    /// The cause stands, for instance a full disk.
    pub fn recover(&self) -> Result<u64, IndexError> {
        let mut writer = self.writer();
        // Its lock must be free before another can be opened.
        writer.open = None;
        let at = Place { dir: &self.shared.dir };
        let open =
            open_writer(&self.shared.index, &self.shared.settings).map_err(|e| at.write(e))?;
        let committed = at.cursor(&self.shared.index)?;
        *writer = Writer { open: Some(open), cursor: committed, pending: 0 };
        self.shared.committed.store(committed, Ordering::Release);
        self.reload()?;
        Ok(committed)
    }

    /// Reads every file and compares its checksum; about 1 GB/s.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] with the first file that is not as it was written.
    pub fn verify(&self) -> Result<(), IndexError> {
        Place { dir: &self.shared.dir }.verify(&self.shared.index)
    }

    /// Answers one page of the findings that a query matches.
    ///
    /// # Errors
    /// [`SearchError::Query`] with the place for what is wrong with the query, or because it takes
    /// longer than [`IndexSettings::longest_search`], which is looked at between the parts of a query,
    /// between the segments and every few hundred findings of a phrase. Nothing that was asked panics,
    /// and neither does a damaged index.
    pub fn search(&self, request: &SearchRequest) -> Result<SearchPage, SearchError> {
        if !(1..=SearchRequest::MAX_LIMIT).contains(&request.limit) {
            return Err(SearchError::Request(format!(
                "limit is 1 to {}, not {}",
                SearchRequest::MAX_LIMIT,
                request.limit
            )));
        }
        let facet_range = 1..=SearchRequest::MAX_FACET_LIMIT;
        if !request.facets.is_empty() && !facet_range.contains(&request.facet_limit) {
            return Err(SearchError::Request(format!(
                "a facet has 1 to {} values, not {}",
                SearchRequest::MAX_FACET_LIMIT,
                request.facet_limit
            )));
        }
        let deadline = Deadline::after(self.shared.settings.longest_search);
        let query = query::parse(&request.query)?;
        let compiled = compile::compile(&self.shared.fields, &query, request, &deadline)?;
        let snapshot = self.snapshot();
        // tantivy asserts where it meets bytes it did not write.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            collect::page(&snapshot, &compiled, request, &deadline)
        }));
        match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => Err(SearchError::Engine(error.to_string())),
            Err(_) => Err(SearchError::Engine(format!(
                "it is probably damaged\nhint: stop sluice and delete {}, it is rebuilt from the store",
                self.shared.dir.display()
            ))),
        }
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.shared.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn commit_now(&self, writer: &mut Writer) -> Result<(), IndexError> {
        let cursor = writer.cursor;
        let Some(open) = writer.open.as_mut() else { return Err(self.behind()) };
        let committed = (|| {
            let mut prepared = open.prepare_commit()?;
            prepared.set_payload(&json!({ "format": FORMAT, "cursor": cursor }).to_string());
            prepared.commit()
        })();
        if let Err(error) = committed {
            return Err(self.failed(writer, error));
        }
        // tantivy syncs the folder before it renames meta.json over the old one, not after: without
        // this a power loss may take the commit back.
        sync(&self.shared.dir)?;
        writer.pending = 0;
        self.shared.committed.store(cursor, Ordering::Release);
        self.reload()
    }

    /// Lets searches see the last commit.
    fn reload(&self) -> Result<(), IndexError> {
        let Shared { dir, reader, settings, .. } = &*self.shared;
        let at = Place { dir };
        reader.reload().map_err(|e| at.read(e))?;
        let snapshot = at.snapshot(reader, Some(&self.snapshot()), settings)?;
        *self.shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn failed(&self, writer: &mut Writer, error: TantivyError) -> IndexError {
        writer.open = None;
        writer.pending = 0;
        Place { dir: &self.shared.dir }.write(error)
    }

    fn behind(&self) -> IndexError {
        IndexError::Behind { dir: self.shared.dir.clone() }
    }
}

fn open_writer(index: &Index, settings: &IndexSettings) -> Result<IndexWriter, TantivyError> {
    let options = IndexWriterOptions::builder()
        .num_worker_threads(1)
        .num_merge_threads(1)
        .memory_budget_per_thread(settings.writer_memory)
        .build();
    let writer = index.writer_with_options(options)?;
    // Segments of up to 10,000 findings are one level: a commit each second makes at most 8 small
    // files before they become one, and a finding is rewritten about once per tenfold growth.
    let mut merge = LogMergePolicy::default();
    merge.set_min_num_segments(8);
    merge.set_min_layer_size(10_000);
    merge.set_max_docs_before_merge(2_000_000);
    // Triage replaces documents; above this share of dead ones a segment is written again.
    merge.set_del_docs_ratio_before_merge(0.3);
    writer.set_merge_policy(Box::new(merge));
    Ok(writer)
}
