//! Agents as `cargo xtask test` installs them, set up so that they talk to a [`Model`] and to nobody else.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Cis, Model};

/// An agent's program.
#[derive(Debug, Clone, Copy)]
pub enum Installed {
    Llm,
    Gemini,
    /// matrix-nio, and libsodium: its Python.
    Nio,
    /// matrix-js-sdk: its node.
    JsSdk,
    Schemathesis,
    /// Synapse, and jsonschema: its Python.
    Synapse,
    /// playwright-core: its node.
    Browser,
}

/// Where it is; panics with what to do where it is not.
#[track_caller]
pub fn installed(agent: Installed) -> PathBuf {
    let (name, program) = match agent {
        Installed::Llm => ("llm", "bin/llm"),
        Installed::Gemini => ("gemini", "node_modules/.bin/gemini"),
        Installed::Nio => ("nio", "bin/python"),
        Installed::JsSdk => ("js-sdk", "node_modules/.bin/node"),
        Installed::Browser => ("browser", "node_modules/.bin/node"),
        Installed::Synapse => ("synapse", "bin/python"),
        Installed::Schemathesis => ("schemathesis", "bin/schemathesis"),
    };
    // The tested binary is TARGET/PROFILE/cis.
    let target = Path::new(env!("CARGO_BIN_EXE_cis")).ancestors().nth(2).unwrap();
    let path = target.join("agents").join(name).join(program);
    assert!(
        path.exists(),
        "{} is not there: `cargo xtask agents` installs the agents of the tests",
        path.display()
    );
    path
}

impl Cis {
    /// `agent = "llm"`, with a tool `run` that it asks for before it runs a command.
    pub fn set_up_llm(&self, model: &Model) {
        let program = installed(Installed::Llm);
        let user = self.work().join("llm");
        fs::create_dir_all(&user).unwrap();
        let models = format!(
            "- model_id: scripted\n  model_name: scripted\n  api_base: {}/v1\n  supports_tools: true\n",
            model.url()
        );
        fs::write(user.join("extra-openai-models.yaml"), models).unwrap();
        let tool = "import subprocess\n\ndef run(command: str) -> str:\n    \"Runs a command.\"\n    return subprocess.run(command, shell=True, capture_output=True, text=True).stdout\n";
        let tools = self.write("tools.py", tool);
        self.configure(&format!(
            "[agents.llm]\ncommand = [{:?}, \"prompt\", \"-m\", \"scripted\", \"--functions\", {:?}, \"--ta\"]\nenv = {{ LLM_USER_PATH = {:?} }}\n",
            program.display().to_string(),
            tools.display().to_string(),
            user.display().to_string(),
        ));
    }

    /// `agent = "gemini"`, in a folder that it trusts.
    pub fn set_up_gemini(&self, model: &Model) {
        let program = installed(Installed::Gemini);
        let home = self.work().join("gemini-home");
        fs::create_dir_all(home.join(".gemini")).unwrap();
        let settings = serde_json::json!({
            "security": { "auth": { "selectedType": "gemini-api-key" } },
            "general": { "disableAutoUpdate": true, "disableUpdateNag": true },
            "privacy": { "usageStatisticsEnabled": false },
            "telemetry": { "enabled": false },
        });
        fs::write(home.join(".gemini/settings.json"), settings.to_string()).unwrap();
        let trusted = serde_json::json!({ self.work().display().to_string(): "TRUST_FOLDER" });
        fs::write(home.join(".gemini/trustedFolders.json"), trusted.to_string()).unwrap();
        // Its node, as Debian's is too old.
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", program.parent().unwrap().display());
        self.configure(&format!(
            "[agents.gemini]\ncommand = [{:?}]\n[agents.gemini.env]\nHOME = {:?}\nPATH = {:?}\nGEMINI_API_KEY = \"scripted\"\nGOOGLE_GEMINI_BASE_URL = {:?}\nNO_PROXY = \"127.0.0.1\"\n",
            program.display().to_string(),
            home.display().to_string(),
            path,
            model.url(),
        ));
    }
}
