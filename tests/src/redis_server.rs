//! Real Redis servers for tests: on a free port of the loopback, in a directory of their own, without
//! persistence, and ended by their process id.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use redis::{FromRedisValue, aio::MultiplexedConnection};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const EXECUTABLE: &str = "redis-server";
/// A free port may be taken between being found and being used.
const STARTS_MAX: u32 = 20;
/// A cluster of three agrees within one to three seconds.
const POLLS_MAX: u32 = 400;
const POLL_PAUSE: Duration = Duration::from_millis(50);
const SLOTS: u32 = 16_384;

/// A server.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    options: Vec<String>,
    directory: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server and waits until it accepts connections.
    ///
    /// # Errors
    /// It cannot be started; its last words are in the error.
    pub fn start(options: &[&str]) -> Result<Self> {
        let mut last = None;
        for _ in 0..STARTS_MAX {
            let mut server = Self {
                port: free_port()?,
                options: options.iter().map(ToString::to_string).collect(),
                directory: tempfile::tempdir()?,
                process: None,
            };
            match server.start_again() {
                Ok(()) => return Ok(server),
                Err(error) => last = Some(error),
            }
        }
        Err(last.context("no attempt was made")?)
    }

    /// The URL.
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the process, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It may have ended by itself.
            let _ended = process.kill();
            let _status = process.wait();
        }
    }

    /// Starts it again, empty, on the same port.
    ///
    /// # Errors
    /// It does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill();
        let mut process = Command::new(EXECUTABLE)
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--daemonize", "no", "--logfile", ""])
            .arg("--dir")
            .arg(self.directory.path())
            .args(&self.options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("redis-server cannot be run; `cargo xtask setup` installs it")?;
        let output = process.stdout.take().context("the output is piped")?;
        self.process = Some(process);
        let mut lines = BufReader::new(output).lines();
        let mut said = String::new();
        loop {
            let Some(line) = lines.next().transpose()? else {
                self.kill();
                bail!("redis-server ended at once: {said}");
            };
            if line.contains("Ready to accept connections") {
                break;
            }
            said = line;
        }
        // A full pipe would stop the server.
        thread::spawn(move || lines.for_each(drop));
        Ok(())
    }

    /// Stops it without ending it: connections stay open and nothing answers.
    ///
    /// # Errors
    /// It does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    /// It does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.process.as_ref().context("the server does not run")?;
        Ok(kill_process(Pid::from_child(process), signal)?)
    }

    /// A connection of the test's own.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn connection(&self) -> Result<MultiplexedConnection> {
        let client = redis::Client::open(self.address())?;
        Ok(client.get_multiplexed_async_connection().await?)
    }

    /// Runs one command, on a connection of its own.
    ///
    /// # Errors
    /// The server's.
    pub async fn command<T: FromRedisValue>(&self, words: &[&str]) -> Result<T> {
        let (name, arguments) = words.split_first().context("a command has a name")?;
        let mut connection = self.connection().await?;
        Ok(redis::cmd(name).arg(arguments).query_async(&mut connection).await?)
    }

    /// The bytes that the server uses for its data and itself.
    ///
    /// # Errors
    /// The server's.
    pub async fn used_memory(&self) -> Result<u64> {
        let memory: String = self.command(&["INFO", "memory"]).await?;
        let line = memory.lines().find_map(|line| line.strip_prefix("used_memory:"));
        Ok(line.context("the server tells its memory")?.trim().parse()?)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Three masters that share the slots.
#[derive(Debug)]
pub struct RedisCluster {
    /// The masters, in the order of their slots.
    pub nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts a cluster and waits until every node says that it is whole.
    ///
    /// # Errors
    /// It does not come up.
    pub async fn start() -> Result<Self> {
        let mut nodes = Vec::new();
        for _ in 0..3 {
            // By default the bus has the port plus 10,000, which may be none.
            let bus = free_port()?.to_string();
            let options = ["--cluster-enabled", "yes", "--cluster-port", &bus];
            nodes.push(RedisServer::start(&options)?);
        }
        let cluster = Self { nodes };
        let share = SLOTS.div_ceil(3);
        for (index, node) in (0..).zip(&cluster.nodes) {
            let first = (index * share).to_string();
            let last = ((index + 1) * share).min(SLOTS) - 1;
            let range = ["CLUSTER", "ADDSLOTSRANGE", &first, &last.to_string()];
            node.command::<()>(&range).await?;
        }
        let first = &cluster.nodes[0];
        for node in &cluster.nodes[1..] {
            let bus = node.options.last().context("a node has a bus")?;
            let port = node.port.to_string();
            first.command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]).await?;
        }
        cluster.wait_until_whole().await?;
        Ok(cluster)
    }

    /// The URLs.
    pub fn addresses(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::address).collect()
    }

    /// The name that a node has in the cluster.
    ///
    /// # Errors
    /// The node's.
    pub async fn id(&self, node: usize) -> Result<String> {
        self.nodes[node].command(&["CLUSTER", "MYID"]).await
    }

    async fn wait_until_whole(&self) -> Result<()> {
        for node in &self.nodes {
            let mut whole = false;
            for _ in 0..POLLS_MAX {
                let info: String = node.command(&["CLUSTER", "INFO"]).await?;
                whole = ["cluster_state:ok", "cluster_known_nodes:3", "cluster_size:3"]
                    .iter()
                    .all(|line| info.contains(line));
                if whole {
                    break;
                }
                tokio::time::sleep(POLL_PAUSE).await;
            }
            ensure!(whole, "the node on port {} does not see a whole cluster", node.port);
        }
        Ok(())
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
