//! Tokens as a client sees them: what is refused and how, rotation, layout and size.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::error::InvalidInput;
use domain::ids::UserId;
use domain::order_number::{ORDER_NUMBER_BYTES_MAX, PART_BYTES_MAX};
use domain::time::UnixMillis;
use domain::transaction::INTEGER_MAX;
use ed25519_dalek::{Signer, SigningKey};
use prost::Message;
use wallet::keys::{SigningKeys, VerifyingKeys};
use wallet::token::{
    ENVELOPE_BYTES_MAX, Envelope, Payload, TOKEN_CHARACTERS_MAX, Token, TokenError,
};

const USER: UserId = UserId(652_024_209_997_893_632);
const NOW: UnixMillis = UnixMillis(1_771_257_600_250);

fn realistic() -> Payload {
    Payload {
        app_id: 10_001,
        act_id: USER.0,
        activity_id: "spring-2026".into(),
        scene_id: "rain".into(),
        amount: 888,
        out_trade_no: "652024209997893632_spring-2026_rain_3_cash_live".into(),
        open_time: NOW.0,
        rain_id: 3,
        status: 1,
    }
}

fn seed(byte: u8) -> String {
    URL_SAFE_NO_PAD.encode([byte; 32])
}

/// The signing keys of these seeds, and the keys that verify what they sign.
fn keys(text: &str) -> (SigningKeys, VerifyingKeys) {
    let signing = SigningKeys::parse(text, false).unwrap();
    let verifying = VerifyingKeys::parse(&signing.verifying_text(), false).unwrap();
    (signing, verifying)
}

/// An envelope around any bytes, signed as tokens are, with the seed of ones.
fn signed(payload: Vec<u8>) -> Envelope {
    let message = [b"hongbao-token-v1|live|", payload.as_slice()].concat();
    let signature = SigningKey::from_bytes(&[1; 32]).sign(&message).to_bytes().to_vec();
    Envelope { payload, key_id: "k1".into(), signature }
}

fn code(result: Result<Token, TokenError>) -> &'static str {
    result.map_or_else(TokenError::code, |_| "opened")
}

#[test]
fn what_was_signed_is_opened() {
    let (signing, verifying) = keys(&format!("k1:{}", seed(1)));
    let envelope = signing.sign(&realistic(), "live").unwrap();
    let token = verifying.open(&envelope.to_text(), USER, "live", NOW).unwrap();
    assert_eq!(Payload::from(&token), realistic());
    assert_eq!(signing.sign(&realistic(), "live").unwrap(), envelope, "deterministic");
    assert_eq!(Envelope::from_text(&envelope.to_text()), Ok(envelope.clone()));
    assert_eq!(Envelope::from_stored(&envelope.to_stored()), Ok(envelope.clone()));
    assert_eq!(Token::from_stored(&envelope.to_stored()), Ok(token));
    assert_eq!(envelope, signed(realistic().encode_to_vec()));
}

/// The first vector of RFC 8032, section 7.1: the public key of a seed.
#[test]
fn public_keys_are_those_of_rfc_8032() {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    };
    let seed = bytes("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let public = bytes("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    let (signing, _) = keys(&format!("k1:{}", URL_SAFE_NO_PAD.encode(seed)));
    assert_eq!(signing.verifying_text(), format!("k1:{}", URL_SAFE_NO_PAD.encode(public)));
}

#[test]
fn each_refusal_has_its_code() {
    let (signing, verifying) = keys(&format!("k1:{}", seed(1)));
    let (stranger, _) = keys(&format!("k9:{}", seed(9)));
    let (impostor, _) = keys(&format!("k1:{}", seed(9)));
    let good = signing.sign(&realistic(), "live").unwrap();
    let text = good.to_text();
    let other = Payload { act_id: 7, ..realistic() };
    let stored = good.to_stored();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let table = [
        ("good", text.clone(), "opened"),
        ("empty", String::new(), "malformed_token"),
        ("no base64url", format!("{}+", &text[..text.len() - 1]), "malformed_token"),
        ("padded", format!("{text}="), "malformed_token"),
        ("with a line end", format!("{text}\n"), "malformed_token"),
        ("cut", text[..text.len() - 4].to_owned(), "malformed_token"),
        ("no protobuf", encode(b"hello"), "malformed_token"),
        ("an unknown field", encode(&[&stored[..], &[0x20, 1]].concat()), "malformed_token"),
        (
            "a field twice",
            encode(&[&stored[..], &[0x12, 2, b'k', b'1']].concat()),
            "malformed_token",
        ),
        ("too long", "A".repeat(TOKEN_CHARACTERS_MAX + 1), "malformed_token"),
        (
            "no key id",
            Envelope { key_id: "K1".into(), ..good.clone() }.to_text(),
            "malformed_token",
        ),
        (
            "short signature",
            Envelope { signature: vec![0; 63], ..good.clone() }.to_text(),
            "malformed_token",
        ),
        ("unknown key", stranger.sign(&realistic(), "live").unwrap().to_text(), "unknown_key"),
        (
            "another key's id",
            impostor.sign(&realistic(), "live").unwrap().to_text(),
            "bad_signature",
        ),
        ("another stage", signing.sign(&realistic(), "gray").unwrap().to_text(), "bad_signature"),
        (
            "stage moved into payload",
            signing.sign(&realistic(), "liv").unwrap().to_text(),
            "bad_signature",
        ),
        (
            "another payload",
            Envelope { payload: other.encode_to_vec(), ..good }.to_text(),
            "bad_signature",
        ),
        ("another user's", signing.sign(&other, "live").unwrap().to_text(), "foreign_token"),
    ];
    for (name, text, expected) in table {
        assert_eq!(code(verifying.open(&text, USER, "live", NOW)), expected, "{name}");
    }
}

/// What is longer than any token is not even decoded.
#[test]
fn the_length_is_looked_at_first() {
    let too_long = TokenError::Malformed("longer than any token");
    let read = |characters| Envelope::from_text(&"A".repeat(characters)).unwrap_err();
    assert_ne!(read(TOKEN_CHARACTERS_MAX), too_long);
    for more in [1, 2, 1_000_000] {
        assert_eq!(read(TOKEN_CHARACTERS_MAX + more), too_long, "{more}");
    }
    let stored = |bytes| Envelope::from_stored(&vec![0; bytes]).unwrap_err();
    assert_ne!(stored(ENVELOPE_BYTES_MAX), too_long);
    for more in [1, 2] {
        assert_eq!(stored(ENVELOPE_BYTES_MAX + more), too_long, "{more}");
    }
}

/// What is signed with a right key is still refused where its fields are none, and is never signed.
#[test]
fn fields_have_ranges() {
    let (signing, verifying) = keys(&format!("k1:{}", seed(1)));
    let with = |change: fn(&mut Payload)| {
        let mut payload = realistic();
        change(&mut payload);
        payload
    };
    let table: [(Payload, Option<&str>); 22] = [
        (with(|payload| payload.amount = 1), None),
        (with(|payload| payload.amount = INTEGER_MAX), None),
        (with(|payload| payload.amount = 0), Some("amount")),
        (with(|payload| payload.amount = -1), Some("amount")),
        (with(|payload| payload.amount = INTEGER_MAX + 1), Some("amount")),
        (with(|payload| payload.app_id = 0), None),
        (with(|payload| payload.app_id = -1), Some("app_id")),
        (with(|payload| payload.app_id = INTEGER_MAX + 1), Some("app_id")),
        (with(|payload| payload.activity_id = String::new()), Some("activity_id")),
        (with(|payload| payload.activity_id = "Spring".into()), Some("activity_id")),
        (with(|payload| payload.scene_id = "a_b".into()), Some("scene_id")),
        (with(|payload| payload.scene_id = "x".repeat(PART_BYTES_MAX)), None),
        (with(|payload| payload.scene_id = "x".repeat(PART_BYTES_MAX + 1)), Some("scene_id")),
        (with(|payload| payload.out_trade_no = String::new()), Some("out_trade_no")),
        (with(|payload| payload.out_trade_no = "a b".into()), Some("out_trade_no")),
        (with(|payload| payload.open_time = 0), None),
        (with(|payload| payload.open_time = -1), Some("open_time")),
        (with(|payload| payload.open_time = i64::MAX), Some("open_time")),
        (with(|payload| payload.rain_id = 0), None),
        (with(|payload| payload.rain_id = -1), Some("rain_id")),
        (with(|payload| payload.status = -1), Some("status")),
        (with(|payload| payload.status = INTEGER_MAX + 1), Some("status")),
    ];
    for (payload, field) in table {
        let result = signing.sign(&payload, "live");
        let refused = |error: InvalidInput| (error.code, error.field);
        let expected = field.map(|field| ("invalid_token_field", field.to_owned()));
        match (result.map_err(refused), expected) {
            (Ok(_), None) => {}
            (Err((_, found)), Some((_, field))) => assert_eq!(found, field, "{payload:?}"),
            (result, expected) => panic!("{payload:?}: {result:?}, not {expected:?}"),
        }
        let envelope = signed(payload.encode_to_vec());
        let expected = if field.is_some() { "malformed_token" } else { "opened" };
        let opened = verifying.open(&envelope.to_text(), USER, "live", NOW);
        assert_eq!(code(opened), expected, "{payload:?}");
        assert_eq!(code(Token::from_stored(&envelope.to_stored())), expected, "{payload:?}");
    }
}

/// Even with a right signature: protobuf would read all of these as the realistic payload.
#[test]
fn a_payload_has_one_spelling() {
    let (_, verifying) = keys(&format!("k1:{}", seed(1)));
    let good = realistic().encode_to_vec();
    let zero = Payload { rain_id: 0, ..realistic() }.encode_to_vec();
    // The first field is the application, in two bytes.
    assert_eq!(good[..3], [0x08, 0x91, 0x4e]);
    let table: [(&str, Vec<u8>, &str); 7] = [
        ("as encoded", good.clone(), "opened"),
        ("an unknown field", [&good[..], &[0x50, 1]].concat(), "malformed_token"),
        ("a field twice", [&good[..], &[0x48, 1]].concat(), "malformed_token"),
        ("another order", [&good[3..], &good[..3]].concat(), "malformed_token"),
        ("a long number", [&[0x08, 0x91, 0xce, 0x00], &good[3..]].concat(), "malformed_token"),
        ("a default", [&zero[..], &[0x40, 0]].concat(), "malformed_token"),
        ("another type", [&[0x0d, 1, 0, 0, 0], &good[3..]].concat(), "malformed_token"),
    ];
    for (name, payload, expected) in table {
        let envelope = signed(payload);
        let opened = verifying.open(&envelope.to_text(), USER, "live", NOW);
        assert_eq!(code(opened), expected, "{name}");
        assert_eq!(code(Token::from_stored(&envelope.to_stored())), expected, "{name}");
    }
}

/// A flip in the payload or the signature is a bad signature; anywhere else it is refused, too.
#[test]
fn no_bit_can_be_flipped() {
    let (signing, verifying) = keys(&format!("k1:{}", seed(1)));
    let envelope = signing.sign(&realistic(), "live").unwrap();
    let open = |text: &str| code(verifying.open(text, USER, "live", NOW));
    let flips = |bytes: &[u8]| -> Vec<Vec<u8>> {
        let flip = |bit: usize| {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            changed
        };
        (0..bytes.len() * 8).map(flip).collect()
    };
    for payload in flips(&envelope.payload) {
        assert_eq!(open(&Envelope { payload, ..envelope.clone() }.to_text()), "bad_signature");
    }
    for signature in flips(&envelope.signature) {
        assert_eq!(open(&Envelope { signature, ..envelope.clone() }.to_text()), "bad_signature");
    }
    for stored in flips(&envelope.to_stored()) {
        assert_ne!(open(&URL_SAFE_NO_PAD.encode(&stored)), "opened", "{stored:?}");
    }
    // As text; what is no UTF-8 no longer is one.
    for text in flips(envelope.to_text().as_bytes()) {
        if let Ok(text) = String::from_utf8(text) {
            assert_ne!(open(&text), "opened", "{text}");
        }
    }
}

#[test]
fn keys_are_rotated_without_a_gap() {
    let (one, two) = (format!("k1:{}", seed(1)), format!("k2:{}", seed(2)));
    let (old, before) = keys(&one);
    let (new, during) = keys(&format!("{two},{one}"));
    let until = |moment: &str| {
        let text = format!("{}@{moment}", new.verifying_text());
        VerifyingKeys::parse(&text, false).unwrap()
    };
    let (_, after) = keys(&two);
    let old = old.sign(&realistic(), "live").unwrap();
    let new = new.sign(&realistic(), "live").unwrap();
    assert_eq!((old.key_id.as_str(), new.key_id.as_str()), ("k1", "k2"));
    let table = [
        ("before", &before, "opened", "unknown_key"),
        ("both", &during, "opened", "opened"),
        // A millisecond before its end, and at its end.
        ("ends later", &until("2026-02-16T16:00:00.251Z"), "opened", "opened"),
        ("ended now", &until("2026-02-16T16:00:00.250Z"), "key_expired", "opened"),
        ("after", &after, "unknown_key", "opened"),
    ];
    for (name, verifying, expected_old, expected_new) in table {
        let open =
            |envelope: &Envelope| code(verifying.open(&envelope.to_text(), USER, "live", NOW));
        assert_eq!((open(&old), open(&new)), (expected_old, expected_new), "{name}");
    }
}

#[test]
fn the_layout_is_that_of_the_published_file() {
    let payload = Payload {
        app_id: 1,
        act_id: 300,
        activity_id: "ab".into(),
        scene_id: "c".into(),
        amount: 888,
        out_trade_no: "o-1".into(),
        open_time: 128,
        rain_id: 5,
        status: 2,
    };
    let expected = [
        &[0x08, 1][..],
        &[0x10, 0xac, 0x02],
        &[0x1a, 2, b'a', b'b'],
        &[0x22, 1, b'c'],
        &[0x28, 0xf8, 0x06],
        &[0x32, 3, b'o', b'-', b'1'],
        &[0x38, 0x80, 0x01],
        &[0x40, 5],
        &[0x48, 2],
    ]
    .concat();
    assert_eq!(payload.encode_to_vec(), expected);
    let signature = vec![7; 64];
    let envelope = Envelope { payload: expected.clone(), key_id: "k1".into(), signature };
    let around =
        [&[0x0a, 27][..], &expected, &[0x12, 2, b'k', b'1'], &[0x1a, 64], &[7; 64]].concat();
    assert_eq!(envelope.to_stored(), around);
}

#[test]
fn tokens_are_small() {
    let payload = realistic();
    let json = serde_json::json!({
        "app_id": payload.app_id.to_string(),
        "act_id": payload.act_id.to_string(),
        "activity_id": payload.activity_id,
        "scene_id": payload.scene_id,
        "amount": payload.amount,
        "out_trade_no": payload.out_trade_no,
        "open_time": payload.open_time,
        "rain_id": payload.rain_id,
        "status": payload.status,
    })
    .to_string();
    let bytes = payload.encode_to_vec();
    let (signing, verifying) = keys(&format!("k1:{}", seed(1)));
    let envelope = signing.sign(&payload, "live").unwrap();
    println!("payload        {:>5} bytes", bytes.len());
    println!("as JSON        {:>5} bytes", json.len());
    println!("envelope       {:>5} bytes", envelope.to_stored().len());
    println!("token          {:>5} characters", envelope.to_text().len());
    assert!(bytes.len() * 2 <= json.len());

    let part = "x".repeat(PART_BYTES_MAX);
    let largest = Payload {
        app_id: INTEGER_MAX,
        act_id: u64::MAX,
        activity_id: part.clone(),
        scene_id: part,
        amount: INTEGER_MAX,
        out_trade_no: "9".repeat(ORDER_NUMBER_BYTES_MAX),
        open_time: INTEGER_MAX,
        rain_id: i32::MAX,
        status: INTEGER_MAX,
    };
    let (signing, _) = keys(&format!("{}:{}", "k".repeat(16), seed(1)));
    let envelope = signing.sign(&largest, "live").unwrap();
    println!("largest token  {:>5} characters", envelope.to_text().len());
    assert!(envelope.to_text().len() <= TOKEN_CHARACTERS_MAX);
    assert!(envelope.to_stored().len() <= ENVELOPE_BYTES_MAX);
    assert_eq!(verifying.open(&envelope.to_text(), USER, "live", NOW), Err(TokenError::UnknownKey));
}
