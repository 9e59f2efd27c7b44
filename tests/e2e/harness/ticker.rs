//! Tasks that write again and again that they are at work, into one file for each task, whichever node runs it: if two sessions
//! of a task are at work at the same time, their lines are mixed.

use std::fs;

/// The files. The tasks end when told to.
pub struct Ticker {
    folder: tempfile::TempDir,
}

const SCRIPT: &str = "
echo \"$$ starts\" >> FOLDER/TASK
until [ -e FOLDER/go ]; do echo \"$$\" >> FOLDER/TASK; sleep 0.05; done
echo \"$$ ends\" >> FOLDER/TASK
";

impl Ticker {
    pub fn new() -> Self {
        Self { folder: tempfile::Builder::new().prefix("cis-ticker-").tempdir().unwrap() }
    }

    /// What a task runs.
    pub fn script(&self, task: &str) -> String {
        SCRIPT.replace("TASK", task).replace("FOLDER", &self.folder.path().display().to_string())
    }

    /// Lets all of them end.
    pub fn go(&self) {
        fs::write(self.folder.path().join("go"), "").unwrap();
    }

    /// Process and text of each line of a task.
    pub fn lines(&self, task: &str) -> Vec<(u32, String)> {
        let text = fs::read_to_string(self.folder.path().join(task)).unwrap_or_default();
        // The last line may be written at this moment.
        let (whole, _) = text.rsplit_once('\n').unwrap_or_default();
        let line = |line: &str| {
            let (pid, text) = line.split_once(' ').unwrap_or((line, ""));
            (pid.parse().unwrap(), text.to_owned())
        };
        whole.lines().map(line).collect()
    }

    /// The first process of each session of a task, in the order in which they began.
    ///
    /// # Panics
    /// One of them was at work after another one had begun.
    #[track_caller]
    pub fn sessions(&self, task: &str) -> Vec<u32> {
        let lines = self.lines(task);
        let mut pids: Vec<u32> = lines.iter().map(|(pid, _)| *pid).collect();
        pids.dedup();
        let starts = lines.iter().filter(|(_, text)| text == "starts").count();
        assert_eq!(pids.len(), starts, "two sessions of {task} were at work: {pids:?}");
        pids
    }

    /// The sessions of a task that came to their end.
    pub fn ended(&self, task: &str) -> Vec<u32> {
        self.lines(task).into_iter().filter(|(_, text)| text == "ends").map(|(pid, _)| pid).collect()
    }
}
