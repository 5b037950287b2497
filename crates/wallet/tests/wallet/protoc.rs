//! `wit/token.proto` against what is written: the stock `protoc` decodes tokens by it.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wallet::keys::SigningKeys;
use wallet::token::Payload;

/// What `protoc` says about bytes, decoded as a message of the published file.
fn decode(message: &str, bytes: &[u8]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut protoc = Command::new("protoc")
        .arg(format!("--decode=hongbao.token.v1.{message}"))
        .args(["-I", "wit", "wit/token.proto"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("protoc cannot be run; `cargo xtask setup` installs it");
    protoc.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = protoc.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{message}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn protoc_decodes_what_is_signed() {
    let payload = Payload {
        app_id: 10_001,
        act_id: u64::MAX,
        activity_id: "spring-2026".into(),
        scene_id: "rain".into(),
        amount: 888,
        out_trade_no: "7_spring-2026_rain_3_cash_live".into(),
        open_time: 1_771_257_600_250,
        rain_id: 3,
        status: 1,
    };
    let keys = format!("k1:{}", URL_SAFE_NO_PAD.encode([1; 32]));
    let envelope = SigningKeys::parse(&keys, false).unwrap().sign(&payload, "live").unwrap();

    // Each field has its name here; one that the file lacks would have its number.
    let text = decode("Envelope", &envelope.to_stored());
    let names: Vec<&str> = text.lines().filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names, ["payload", "key_id", "signature"], "{text}");
    assert!(text.contains("\nkey_id: \"k1\"\n"), "{text}");
    assert_eq!(
        decode("Payload", &envelope.payload),
        "\
app_id: 10001
act_id: 18446744073709551615
activity_id: \"spring-2026\"
scene_id: \"rain\"
amount: 888
out_trade_no: \"7_spring-2026_rain_3_cash_live\"
open_time: 1771257600250
rain_id: 3
status: 1
"
    );
}
