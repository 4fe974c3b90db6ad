//! The parts of the stack: started in order, watched, stopped in the opposite order.

use super::{banner, demo, secrets::Secrets, stripe};
use crate::{
    args,
    report::Report,
    state::{StateDir, Status},
};
use anyhow::{Context as _, bail};
use edge_core::{
    Config, Store,
    audit::{Actor, Origin},
    nodes,
};
use edge_native::Native;
use embedded::{
    child::{Program, Tied},
    groq::{API_KEY, FakeGroq},
    postgres::{Options, Postgres},
};
use fake_stripe::FakeStripe;
use secrecy::{ExposeSecret as _, SecretString};
use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a part may take to answer its health check.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// How long a part may take to stop before it is killed.
const STOP_WITHIN: Duration = Duration::from_secs(8);

/// How long a join token for the node is valid.
const INVITE_MS: i64 = 10 * 60_000;

const DATABASE: &str = "nest";

pub(super) struct Stack<'a> {
    state: &'a StateDir,
    report: Report,
    status: Status,
    postgres: Option<Postgres>,
    groq: Option<FakeGroq>,
    stripe: Option<FakeStripe>,
    edge: Option<Tied>,
    node: Option<Tied>,
}

impl<'a> Stack<'a> {
    pub(super) fn new(state: &'a StateDir, report: Report) -> Self {
        let status = Status { host: "native".to_owned(), ..Status::default() };
        Self { state, report, status, postgres: None, groq: None, stripe: None, edge: None, node: None }
    }

    /// Starts everything, prints the banner, and returns only when a part has ended.
    pub(super) async fn run(&mut self, args: &args::Dev) -> anyhow::Result<()> {
        let started = Instant::now();
        self.status.pids.insert("dev".to_owned(), std::process::id());
        let mut secrets = Secrets::open(self.state)?;
        let database_url = self.start_postgres(args, &secrets).await?;
        let applied = migrations::up(&database_url).await?;
        if !applied.is_empty() {
            self.say(&format!("schema: applied {}", applied.join(", ")));
        }
        let environment = self.edge_environment(args, &secrets, &database_url).await?;
        self.start_edge(args, &environment)?;
        let config = Config::load(&|name| environment.get(name).cloned().or_else(|| std::env::var(name).ok()))?;
        let host = Arc::new(Native::new(&config)?);
        let store = Store::new(host.clone());
        let demo = demo::ensure(self.state, &mut secrets, &*host, &store).await?;
        // With an upstream of one's own, nobody knows what its models cost.
        if self.status.fake_groq.is_some() {
            demo::charge(&*host, &store, &demo).await?;
        }
        self.status.demo = Some(demo);
        self.until_ready("edge", &format!("{}/readyz", self.status.edge)).await?;
        if let Some(fake) = &self.stripe {
            stripe::connect(fake, &self.status.edge, &store, &config.stripe).await?;
        }
        self.state.write_status(&self.status)?;
        if !args.no_node {
            self.pull_models().await?;
            let invite = nodes::invite(&*host, &store, INVITE_MS, (&Actor::OPERATOR, &Origin::default())).await?;
            self.start_node(args, &invite)?;
            let node = self.status.node.clone().expect("the node was started just now");
            self.until_ready("node", &format!("{node}/readyz")).await?;
        }
        self.status.models = self.until_models(!args.no_node).await?;
        self.status.ready = true;
        self.state.write_status(&self.status)?;
        banner::print(&self.status, self.report, started.elapsed())?;
        self.watch().await
    }

    /// Stops everything; the edge first, so that no call is cut that could still end.
    pub(super) async fn stop(self) {
        for (name, part) in [("edge", self.edge), ("node", self.node)] {
            if let Some(part) = part
                && let Err(error) = part.stop(STOP_WITHIN).await
            {
                eprintln!("{name} did not stop: {error}");
            }
        }
        if let Some(groq) = self.groq {
            groq.stop().await;
        }
        if let Some(postgres) = self.postgres
            && let Err(error) = postgres.stop().await
        {
            eprintln!("postgres did not stop: {error}");
        }
    }

    /// One line of progress, for people.
    pub(super) fn say(&self, line: &str) {
        if !self.report.json {
            println!("  {line}");
        }
    }

    async fn start_postgres(&mut self, args: &args::Dev, secrets: &Secrets) -> anyhow::Result<SecretString> {
        if let Ok(url) = std::env::var("DATABASE_URL") {
            self.say("postgres: as DATABASE_URL says");
            self.status.database_url = Some(url.clone());
            return Ok(url.into());
        }
        let password = secrets.made("POSTGRES_PASSWORD").to_owned().into();
        let mut options = Options::new(self.state.join("pgdata"), self.state.join("logs/postgres.log"), password);
        options.port = args.postgres_port;
        let postgres = Postgres::start(options).await?;
        for note in postgres.notes() {
            self.say(&format!("postgres: {note}"));
        }
        self.status.pids.insert("postgres".to_owned(), postgres.pid());
        let url = postgres.url(DATABASE);
        postgres.create_database(DATABASE).await?;
        self.postgres = Some(postgres);
        self.status.database_url = Some(url.clone());
        Ok(url.into())
    }

    /// What the edge is told beyond the environment of this process.
    async fn edge_environment(
        &mut self,
        args: &args::Dev,
        secrets: &Secrets,
        database_url: &SecretString,
    ) -> anyhow::Result<HashMap<String, String>> {
        let mut environment = HashMap::from([
            ("DATABASE_URL".to_owned(), database_url.expose_secret().to_owned()),
            ("SECRET_KEY".to_owned(), secrets.made("SECRET_KEY").to_owned()),
            ("HOST".to_owned(), Ipv4Addr::LOCALHOST.to_string()),
            ("PORT".to_owned(), args.port.to_string()),
        ]);
        if std::env::var_os("PUBLIC_URL").is_none() {
            environment.insert("PUBLIC_URL".to_owned(), format!("http://127.0.0.1:{}", args.port));
        }
        let has_key =
            ["GROQ_API_KEY", "GROK_API_KEY"].iter().any(|name| std::env::var_os(name).is_some_and(|it| !it.is_empty()));
        if !has_key {
            let groq = FakeGroq::start((Ipv4Addr::LOCALHOST, 0).into()).await?;
            self.say(&format!("groq: a stand-in at {}, since GROQ_API_KEY is not set", groq.url()));
            environment.insert("OPENAI_BASE_URL".to_owned(), groq.url());
            environment.insert("GROQ_API_KEY".to_owned(), API_KEY.to_owned());
            self.status.fake_groq = Some(groq.url());
            self.groq = Some(groq);
        }
        self.stripe = stripe::start(self.state, secrets, &mut environment).await?;
        if let Some(stripe) = &self.stripe {
            self.say(&format!("stripe: a stand-in at {}, since STRIPE_SECRET_KEY is not set", stripe.url));
            self.status.fake_stripe = Some(stripe.url.clone());
        }
        Ok(environment)
    }

    fn start_edge(&mut self, args: &args::Dev, environment: &HashMap<String, String>) -> anyhow::Result<()> {
        let program = environment
            .iter()
            .fold(self.own_program("serve", "edge")?, |program, (name, value)| program.env(name, value));
        let edge = program.spawn().context("the edge did not start")?;
        self.status.pids.insert("edge".to_owned(), edge.pid());
        self.status.edge = format!("http://127.0.0.1:{}", args.port);
        self.edge = Some(edge);
        Ok(())
    }

    fn start_node(&mut self, args: &args::Dev, invite: &SecretString) -> anyhow::Result<()> {
        let node = self
            .own_program("node", "node")?
            .env("EDGE_URL", &self.status.edge)
            .env("NODE_HOST", Ipv4Addr::LOCALHOST.to_string())
            .env("NODE_PORT", args.node_port.to_string())
            .env("NODE_MODELS_DIR", self.state.join("models"))
            .env("NODE_KEY_FILE", self.state.join("node.key"))
            .env("NODE_JOIN_TOKEN", invite.expose_secret())
            .spawn()
            .context("the node did not start")?;
        self.status.pids.insert("node".to_owned(), node.pid());
        self.status.node = Some(format!("http://127.0.0.1:{}", args.node_port));
        self.node = Some(node);
        Ok(())
    }

    /// This program with another verb, its output going to a log.
    fn own_program(&self, verb: &str, log: &str) -> anyhow::Result<Program> {
        let log = self.state.join(&format!("logs/{log}.log"));
        Ok(Program::new(std::env::current_exe()?).arg(verb).log_to(&log)?)
    }

    /// Lets `nest models pull` show its own progress; it says nothing when the models are there.
    async fn pull_models(&self) -> anyhow::Result<()> {
        let folder = self.state.join("models");
        let mut pull = tokio::process::Command::new(std::env::current_exe()?);
        pull.args(["models", "pull", "--quiet-if-present"]).env("NODE_MODELS_DIR", folder).kill_on_drop(true);
        let status = pull.status().await?;
        anyhow::ensure!(status.success(), "the models could not be pulled (`nest models pull` ended with {status})");
        Ok(())
    }

    async fn until_ready(&mut self, part: &str, url: &str) -> anyhow::Result<()> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let started = Instant::now();
        let mut reason = String::new();
        while started.elapsed() < READY_WITHIN {
            self.fail_if_ended()?;
            match client.get(url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => reason = answer.text().await.unwrap_or_default(),
                Err(error) => reason = error.to_string(),
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        bail!("the {part} is not ready after {} s: {reason}; see {}", READY_WITHIN.as_secs(), self.log(part));
    }

    /// Waits until the edge serves the node's models, and names all that it serves.
    async fn until_models(&mut self, with_node: bool) -> anyhow::Result<Vec<String>> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let key = self.status.demo.as_ref().map(|it| it.api_key.clone()).unwrap_or_default();
        let started = Instant::now();
        loop {
            self.fail_if_ended()?;
            let answer = client.get(format!("{}/v1/models", self.status.edge)).bearer_auth(&key).send().await?;
            let list: serde_json::Value = answer.error_for_status()?.json().await?;
            let models = list["data"].as_array().context("the edge lists no models")?;
            if !with_node || models.iter().any(|it| it["owned_by"] == "nest") {
                return Ok(models.iter().filter_map(|it| it["id"].as_str().map(str::to_owned)).collect());
            }
            anyhow::ensure!(
                started.elapsed() < READY_WITHIN,
                "the node did not join the edge; see {}",
                self.log("node")
            );
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    /// Errs if a part has ended by itself.
    fn fail_if_ended(&mut self) -> anyhow::Result<()> {
        for (name, part) in [("edge", &mut self.edge), ("node", &mut self.node)] {
            if let Some(status) = part.as_mut().map(Tied::exited).transpose()?.flatten() {
                bail!("the {name} ended with {status}; see {}", self.state.join(&format!("logs/{name}.log")).display());
            }
        }
        Ok(())
    }

    /// Waits for a part to end by itself, which none should.
    async fn watch(&mut self) -> anyhow::Result<()> {
        async fn ended(part: &mut Option<Tied>) -> std::io::Result<std::process::ExitStatus> {
            match part {
                Some(part) => part.wait().await,
                None => std::future::pending().await,
            }
        }
        async fn postgres_ended(part: &mut Option<Postgres>) -> std::io::Result<std::process::ExitStatus> {
            match part {
                Some(part) => part.ended().await,
                None => std::future::pending().await,
            }
        }
        let (name, status) = tokio::select! {
            status = ended(&mut self.edge) => ("edge", status?),
            status = ended(&mut self.node) => ("node", status?),
            status = postgres_ended(&mut self.postgres) => ("postgres", status?),
        };
        bail!("the {name} ended with {status}; see {}", self.log(name));
    }

    fn log(&self, part: &str) -> String {
        self.state.join(&format!("logs/{part}.log")).display().to_string()
    }
}
