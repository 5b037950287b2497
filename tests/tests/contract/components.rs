//! The components as they are deployed: they import what they were given and nothing else - no file
//! system, no sockets, no environment -, export what they promise, and are small.

use std::collections::BTreeSet;

use end_to_end::app::root;
use host::component_bytes;
use wasmparser::{ComponentExternalKind, Parser, Payload};

/// Bytes of a component: every instance and every deployment pays for them. The bounds are about 5 % above
/// what each has; growth beyond that gets a reason. Ordered sets cost every component 14 kB, the store's clock 8 kB.
const BYTES_MAX: usize = 400_000;

/// Bytes of the component for events, which has the rules of group-buys and of paying for group packets
/// beside that of paid marks.
const EVENTS_BYTES_MAX: usize = 467_000;

/// Bytes of the component for coupons, which has three times the routes of the others. Pages of orders and numbers that
/// are forgotten are 60 kB of it, revoking and extending 70 kB, what returns to budgets 50 kB.
const COUPON_BYTES_MAX: usize = 970_000;

/// Bytes of the component for promotions: the whole evaluation, the index of activities, purchase limits
/// and prices in bulk, and the model of activities twice, in JSON and in the store's format. The typed
/// interface is 47 kB of it, sealing 60 kB.
const PROMOTION_BYTES_MAX: usize = 1_104_000;

/// Bytes of the components for wallets: beside the 300 kB that every component has for the edge and the
/// binding, Ed25519 and protobuf, and their rules. Red packets sign, and have rains, their leases, the paces of scenes and
/// group packets. What a pool says of waves, and waiting for them, is 14 kB.
const RED_PACKET_BYTES_MAX: usize = 758_000;
/// The balance only believes tokens; its typed interface is in it. Withdrawals that end and months of a statement are 40 kB.
const BALANCE_BYTES_MAX: usize = 608_000;
/// Settlement finishes whatever the others begin, and knows all of their books. It reads every list by pages, passes over
/// what it cannot read and names it: 50 kB. The quarantine is 70 kB more, payments without use 40 kB, the books of orders,
/// holds and group-buys 110 kB. Collecting what is over, sealing and the export of a day are 500 kB: they take part in every
/// function's rules.
const SETTLEMENT_BYTES_MAX: usize = 1_906_000;

/// What the edge needs for any function.
const IMPORTS: &[&str] = &[
    "spin:redis/redis@3.0.0",
    "spin:variables/variables@3.0.0",
    "wasi:cli/stderr@0.3.0",
    "wasi:cli/stdin@0.3.0",
    "wasi:cli/types@0.3.0",
    "wasi:clocks/monotonic-clock@0.3.0",
    "wasi:clocks/system-clock@0.3.0",
    "wasi:clocks/types@0.3.0",
    "wasi:http/types@0.3.0",
    "wasi:keyvalue/atomics@0.2.0-draft2",
    "wasi:keyvalue/store@0.2.0-draft2",
    "wasi:random/random@0.3.0",
];
const TYPES: &str = "hongbao:functions/types@0.1.0";

/// Imports and exports by name.
fn interfaces(bytes: &[u8]) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut imports, mut exports) = (BTreeSet::new(), BTreeSet::new());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.expect("the host wraps components that are valid") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(
                    section
                        .into_iter()
                        .map(|import| import.expect("an import").name.name.to_owned()),
                );
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(section.into_iter().map(|export| {
                    let export = export.expect("an export");
                    assert_eq!(export.kind, ComponentExternalKind::Instance);
                    export.name.name.to_owned()
                }));
            }
            _ => {}
        }
    }
    (imports, exports)
}

#[track_caller]
fn check(name: &str, bytes_max: usize, more_imports: &[&str], expected_exports: &[&str]) {
    let file = format!("target/wasm32-unknown-unknown/release/{name}.wasm");
    let file = root().join(file);
    let bytes = component_bytes(&file).unwrap_or_else(|error| {
        panic!("{error}; run `cargo xtask test`, which builds the components")
    });
    let built = std::fs::metadata(&file).expect("it was just read").len();
    println!("{name}: {built} bytes built, {} bytes as a component", bytes.len());
    let (imports, exports) = interfaces(&bytes);
    let set = |names: &[&str]| names.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    assert_eq!(imports, set(&[IMPORTS, more_imports].concat()), "imports of {name}");
    assert_eq!(exports, set(expected_exports), "exports of {name}");
    for forbidden in ["filesystem", "sockets", "environment", "outgoing-handler"] {
        assert!(!imports.iter().any(|import| import.contains(forbidden)), "{imports:?}");
    }
    assert!(bytes.len() <= bytes_max, "{name} has {} bytes", bytes.len());
}

#[test]
fn new_user() {
    let exports = ["wasi:http/handler@0.3.0", "hongbao:functions/new-user@0.1.0"];
    check("new_user", BYTES_MAX, &[TYPES], &exports);
}

#[test]
fn events() {
    let exports = [
        "wasi:http/handler@0.3.0",
        "hongbao:functions/events@0.1.0",
        "spin:redis/inbound-redis@3.0.0",
    ];
    check("events", EVENTS_BYTES_MAX, &[TYPES], &exports);
}

#[test]
fn coupon() {
    let exports = ["wasi:http/handler@0.3.0", "hongbao:functions/coupon@0.1.0"];
    check("coupon", COUPON_BYTES_MAX, &[TYPES], &exports);
}

#[test]
fn promotion() {
    let exports = ["wasi:http/handler@0.3.0", "hongbao:functions/promotion@0.1.0"];
    check("promotion", PROMOTION_BYTES_MAX, &[TYPES], &exports);
}

#[test]
fn red_packet() {
    check("red_packet", RED_PACKET_BYTES_MAX, &[], &["wasi:http/handler@0.3.0"]);
}

#[test]
fn balance() {
    let exports = ["wasi:http/handler@0.3.0", "hongbao:functions/balance@0.1.0"];
    check("balance", BALANCE_BYTES_MAX, &[TYPES], &exports);
}

#[test]
fn settlement() {
    let exports = ["wasi:http/handler@0.3.0", "spin:redis/inbound-redis@3.0.0"];
    check("settlement", SETTLEMENT_BYTES_MAX, &[], &exports);
}

#[test]
fn root_component() {
    check("root", BYTES_MAX, &[], &["wasi:http/handler@0.3.0"]);
}
