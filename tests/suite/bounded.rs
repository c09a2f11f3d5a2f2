//! Whatever answers, this program stays small: every service that it asks, each in every way in which a peer can send more
//! than there is to say. The peak of each is printed; see it with `--nocapture`.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::thread;
use std::time::Duration;

use stand_ins::imds;

use super::harness::agent::{Agent, CommandContext};

/// The most that the program may have resident, in KiB.
const MOST: u64 = 64 * 1024;

/// No question of one round takes longer, with room for a busy machine.
const WITHIN: Duration = Duration::from_secs(150);

/// Runs what follows and writes the peak of its resident memory in KiB to the file. A process that this one starts itself
/// would count this one's memory as its own, up to the moment when it becomes the program.
const MEASURE: &str = "import os, sys\n\
    pid = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)\n\
    status, usage = os.wait4(pid, 0)[1:]\n\
    open(sys.argv[1], 'w').write(str(usage.ru_maxrss))\n\
    sys.exit(os.waitstatus_to_exitcode(status) % 256)";

type Send = fn(&mut TcpStream) -> std::io::Result<()>;

static BLOCK: [u8; 65536] = [b'x'; 65536];

fn forever(stream: &mut TcpStream, block: &[u8]) -> std::io::Result<()> {
    loop {
        stream.write_all(block)?;
    }
}

fn head(stream: &mut TcpStream, status: u16, more: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{more}\r\n")
}

fn endless(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "")?;
    forever(stream, &BLOCK)
}

fn endless_error(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 500, "")?;
    forever(stream, &BLOCK)
}

fn of_a_terabyte(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "Content-Length: 1000000000000\r\n")?;
    forever(stream, &BLOCK)
}

fn chunked(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "Transfer-Encoding: chunked\r\n")?;
    let chunk = [b"10000\r\n", &BLOCK[..], b"\r\n"].concat();
    forever(stream, &chunk)
}

fn endless_headers(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 X\r\n")?;
    forever(stream, b"X-Header: and another and another and another\r\n".repeat(1000).as_slice())
}

fn endless_line(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"HTTP/1.1 200 ")?;
    forever(stream, &BLOCK)
}

fn endless_string(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "")?;
    stream.write_all(b"{\"status\":\"")?;
    forever(stream, &BLOCK)
}

fn list_of_objects(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "")?;
    stream.write_all(b"[{}")?;
    forever(stream, b",{}".repeat(20_000).as_slice())
}

fn nested_json(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "")?;
    forever(stream, b"[".repeat(65536).as_slice())
}

fn nested_xml(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "")?;
    forever(stream, b"<a>".repeat(20_000).as_slice())
}

/// As many of `items` as 500 000 bytes hold, between the tags of the list.
fn xml(stream: &mut TcpStream, tags: &[&str], item: &str) -> std::io::Result<()> {
    let mut text: String = tags.iter().map(|tag| format!("<{tag}>")).collect();
    text.push_str(&item.repeat(500_000 / item.len()));
    text.extend(tags.iter().rev().map(|tag| format!("</{tag}>")));
    head(stream, 200, &format!("Content-Length: {}\r\n", text.len()))?;
    stream.write_all(text.as_bytes())
}

fn many_objects(stream: &mut TcpStream) -> std::io::Result<()> {
    xml(stream, &["ListBucketResult"], "<Contents/>")
}

fn many_instances(stream: &mut TcpStream) -> std::io::Result<()> {
    let name = "DescribeAutoScalingInstances";
    let (response, result) = (format!("{name}Response"), format!("{name}Result"));
    xml(stream, &[&response, &result, "AutoScalingInstances"], "<member/>")
}

fn many_hooks(stream: &mut TcpStream) -> std::io::Result<()> {
    let (response, result) = ("DescribeLifecycleHooksResponse", "DescribeLifecycleHooksResult");
    xml(stream, &[response, result, "LifecycleHooks"], "<member/>")
}

fn gzip_bomb(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "Content-Encoding: gzip\r\n")?;
    stream.write_all(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])?;
    // Stored blocks of nothing but zeros.
    forever(stream, &[0, 0xff, 0xff, 0, 0].iter().copied().chain([0; 65535]).collect::<Vec<_>>())
}

fn garbage(stream: &mut TcpStream) -> std::io::Result<()> {
    let noise: Vec<u8> = (0u32..65536).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    forever(stream, &noise)
}

fn zeros(stream: &mut TcpStream) -> std::io::Result<()> {
    forever(stream, &[0; 65536])
}

/// A frame of the engine's stream that says it has 4 GB.
fn frame_of_gigabytes(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "")?;
    stream.write_all(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff])?;
    forever(stream, &BLOCK)
}

/// Documents within documents, in a reply to MongoDB's first question that says it has 40 MB.
fn nested_bson(stream: &mut TcpStream) -> std::io::Result<()> {
    for number in [40_000_000i32, 1, 1, 1, 8, 0, 0, 0, 1] {
        stream.write_all(&number.to_le_bytes())?;
    }
    forever(stream, &[0xff, 0xff, 0xff, 0x00, 3, b'a', 0].repeat(9000))
}

fn redirect(stream: &mut TcpStream, to: &str) -> std::io::Result<()> {
    head(stream, 302, &format!("Location: {to}\r\nContent-Length: 0\r\n"))
}

fn redirect_to_a_file(stream: &mut TcpStream) -> std::io::Result<()> {
    redirect(stream, "file:///dev/zero")
}

fn redirect_in_circles(stream: &mut TcpStream) -> std::io::Result<()> {
    let own = stream.local_addr()?;
    redirect(stream, &format!("http://{own}/docker"))
}

fn drip(stream: &mut TcpStream) -> std::io::Result<()> {
    head(stream, 200, "Content-Length: 1000000\r\n")?;
    loop {
        stream.write_all(b"x")?;
        thread::sleep(Duration::from_millis(100));
    }
}

fn silence(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.read(&mut [0; 64]).map(drop)
}

/// A port at which every request is answered so.
fn hostile(send: Send) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 65536]);
                // It ends when the program has had enough.
                let _ = send(&mut stream);
            });
        }
    });
    port
}

const HTTP: [(&str, Send); 12] = [
    ("endless", endless),
    ("endless error", endless_error),
    ("a terabyte", of_a_terabyte),
    ("chunked", chunked),
    ("endless headers", endless_headers),
    ("endless line", endless_line),
    ("nested JSON", nested_json),
    ("nested XML", nested_xml),
    ("gzip bomb", gzip_bomb),
    ("garbage", garbage),
    ("drip", drip),
    ("silence", silence),
];

/// What runs against a port.
type Run = fn(&CommandContext, u16) -> Agent;

/// Runs every shape, and holds each to the limit.
fn stays_small(service: &str, shapes: &[(&str, Send)], run: Run) {
    let measured = shapes.iter().map(|(shape, send)| {
        let send = *send;
        let shape = (*shape).to_owned();
        thread::spawn(move || (shape, peak(|world| run(world, hostile(send)))))
    });
    // All at once: most of them wait, and none for another.
    let peaks: Vec<_> = measured.collect::<Vec<_>>().into_iter().map(|it| it.join().unwrap()).collect();
    for (shape, peak) in &peaks {
        println!("{service:<12} {shape:<18} {:>6.1} MiB", *peak as f64 / 1024.0);
    }
    for (shape, peak) in peaks {
        assert!(peak < MOST, "{service}, {shape}: {peak} KiB");
    }
}

fn peak(run: impl FnOnce(&CommandContext) -> Agent) -> u64 {
    let world = CommandContext::new()
        .with_env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .with_env("AWS_SECRET_ACCESS_KEY", "a-key-of-the-test")
        .with_env("AWS_REGION", "us-east-1")
        .with_imds("http://127.0.0.1:1")
        .with_docker("unix:///nowhere/docker.sock");
    let written = world.path("/tmp/peak");
    let agent = run(&world);
    let finished = agent.under("python3", ["-c", MEASURE, &written.display().to_string()]).run(WITHIN);
    assert!(matches!(finished.code, Some(1..=3)), "{finished}");
    fs::read_to_string(&written).unwrap_or_else(|error| panic!("{error}\n{finished}")).parse().unwrap()
}

fn address(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

#[test]
fn s3() {
    let shapes = [&HTTP[..], &[("many objects", many_objects as Send)]].concat();
    stays_small("S3", &shapes, |world, port| {
        let agent = Agent::new(world).args(["check", "s3://bucket-of-the-test/prefix"]);
        agent.env("AWS_ENDPOINT_URL_S3", address(port))
    });
}

#[test]
fn auto_scaling() {
    let more = [("many instances", many_instances as Send), ("many hooks", many_hooks)];
    stays_small("Auto Scaling", &[&HTTP[..], &more].concat(), |world, port| {
        // It is asked about an instance, so there has to be one; the stand-in ends with the test program.
        let imds = imds::start(imds::Config::default()).unwrap();
        let agent = Agent::new(world).args(["boot", "--dry-run", "file:///nowhere"]);
        let agent = agent.env("AWS_ENDPOINT_URL_AUTO_SCALING", address(port));
        let agent = agent.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", imds.url());
        std::mem::forget(imds);
        agent
    });
}

#[test]
fn metadata_service() {
    stays_small("IMDS", &HTTP, |world, port| {
        let agent = Agent::new(world).args(["probe", "--only", "instance", "--only", "aws"]);
        agent.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", address(port))
    });
}

#[test]
fn credentials() {
    stays_small("credentials", &HTTP, |world, port| {
        let agent = Agent::new(world).args(["check", "s3://bucket-of-the-test/prefix"]);
        let agent = agent.without_env("AWS_ACCESS_KEY_ID").without_env("AWS_SECRET_ACCESS_KEY");
        agent.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", address(port))
    });
}

#[test]
fn docker() {
    let more = [
        ("list of objects", list_of_objects as Send),
        ("endless string", endless_string),
        ("frame of 4 GB", frame_of_gigabytes),
    ];
    let shapes = [&HTTP[..], &more].concat();
    stays_small("Docker", &shapes, |world, port| {
        let agent = Agent::new(world).args(["probe", "--only", "docker", "--only", "replicated"]);
        agent.env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"))
    });
    // Its pulls, which are read line by line.
    stays_small("pull", &shapes, |world, port| {
        world.write("/etc/boot-agent/images.toml", "[[image]]\nreference = \"registry.test/a:1\"\n");
        world.agent_toml("[images]\nwait = \"1ms\"\n");
        Agent::new(world).arg("bake").env("DOCKER_HOST", format!("tcp://127.0.0.1:{port}"))
    });
}

#[test]
fn health_urls() {
    stays_small("health URL", &HTTP, |world, port| {
        world.agent_toml(&format!("[app]\nhealth_urls = [\"{}/health-check\"]\n", address(port)));
        Agent::new(world).args(["probe", "--only", "app"])
    });
}

#[test]
fn installer() {
    let more = [("to a file", redirect_to_a_file as Send), ("in circles", redirect_in_circles)];
    stays_small("installer", &[&HTTP[..], &more].concat(), |world, port| {
        world.agent_toml("[install]\nwait = \"1ms\"\n[images]\nwait = \"1ms\"\n");
        let wanted = format!("[replicated]\nurl = \"{}/docker\"\n", address(port));
        world.write("/etc/boot-agent/images.toml", wanted);
        Agent::new(world).arg("bake")
    });
}

#[test]
fn databases() {
    let raw =
        [("garbage", garbage as Send), ("zeros", zeros), ("HTTP", endless), ("nested BSON", nested_bson)];
    for scheme in ["mongodb", "postgres"] {
        for options in ["", "?ssl=true"] {
            let shapes: Vec<(&str, Send)> = raw.into();
            let run: Run = match (scheme, options) {
                ("mongodb", "") => {
                    |world, port| ask(world, format!("mongodb://c:p@127.0.0.1:{port}/circle_ghe"))
                }
                ("mongodb", _) => {
                    |world, port| ask(world, format!("mongodb://c:p@127.0.0.1:{port}/circle_ghe?ssl=true"))
                }
                (_, "") => |world, port| {
                    ask(world, format!("postgres://c:p@127.0.0.1:{port}/circle?sslmode=disable"))
                },
                _ => |world, port| {
                    ask(world, format!("postgres://c:p@127.0.0.1:{port}/circle?sslmode=require"))
                },
            };
            stays_small(scheme, &shapes, run);
        }
    }
}

fn ask(world: &CommandContext, uri: String) -> Agent {
    Agent::new(world).args(["probe", "--uri", "-"]).input(&uri)
}

#[test]
fn vault() {
    stays_small("Vault", &HTTP, |world, port| {
        let settings = format!(
            "VAULT__SCHEME=http\nVAULT__HOST=127.0.0.1\nVAULT__PORT={port}\nVAULT__CLIENT_TOKEN=5f2c1d7e-of-the-test\n"
        );
        world.write("/etc/circleconfig/shared/vault", settings);
        world.write("/etc/circle-installation-customizations", "# made by the test\n");
        Agent::new(world).args(["probe", "--only", "vault"])
    });
}

/// Every file that the program reads, as a device without an end, and as a file that is larger than any memory.
#[test]
fn files() {
    let files = [
        "/etc/boot-agent/agent.toml",
        "/etc/boot-agent/images.lock",
        "/etc/boot-agent/images.toml",
        "/var/lib/boot-agent/boot.json",
        "/var/lib/boot-agent/order.json",
        "/usr/local/lib/boot-agent/replicated-install.sh",
        "/etc/settings.conf",
        "/etc/circle-installation-customizations",
        "/etc/circleconfig/shared/postgresql",
        "/etc/resolv.conf",
        "/etc/hosts",
        "/etc/group",
        "/etc/replicated.conf",
        "/root/.docker/config.json",
        "/proc/meminfo",
        "/proc/mounts",
        "/proc/stat",
    ];
    let commands: [&[&str]; 5] = [
        &["probe"],
        &["check"],
        &["boot", "--dry-run", "file:///bundle"],
        &["bake", "--verify"],
        &["status"],
    ];
    let mut highest = 0;
    for (name, is_device) in files.iter().flat_map(|name| [(*name, true), (*name, false)]) {
        let runs = commands.map(|command| {
            thread::spawn(move || {
                let spoiled = |world: &CommandContext| {
                    let path = world.path(name);
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    let _ = fs::remove_file(&path);
                    if is_device {
                        symlink("/dev/zero", &path).unwrap();
                    } else {
                        fs::File::create(&path).unwrap().set_len(1 << 40).unwrap();
                    }
                    Agent::new(world).args(command)
                };
                peak(spoiled)
            })
        });
        for (command, run) in commands.iter().zip(runs) {
            let peak = run.join().unwrap_or_else(|_| panic!("{name}, device: {is_device}, {command:?}"));
            assert!(peak < MOST, "{name}, device: {is_device}, {command:?}: {peak} KiB");
            highest = highest.max(peak);
        }
    }
    println!("files        the highest        {:>6.1} MiB", highest as f64 / 1024.0);
}
