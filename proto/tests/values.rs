//! Values in `application/msgpack` as two languages write them. The daemon carries them unread, so nothing of Sidewinder
//! in Rust would notice what is wrong with them; here an implementation that others wrote reads what the Elixir client
//! packs, and the other way round. `golden/values-1` holds one value a line: what it is and its bytes in `rust.txt`, its
//! bytes alone in `elixir.txt`.
//!
//! `WRITE_GOLDEN=1` writes `rust.txt` anew; that of Elixir is written by the client's own test in the same way.

mod hex;

use hex::{hex, unhex};
use rmpv::Value;
use rmpv::decode::read_value;
use rmpv::encode::write_value;
use std::fs;
use std::path::PathBuf;

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/values-1").join(name)
}

fn packed(value: &Value) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    write_value(&mut bytes, value).ok()?;
    Some(bytes)
}

#[test]
fn what_elixir_packs_is_read_and_packed_the_same_here() {
    let text = fs::read_to_string(golden("elixir.txt")).unwrap();
    for (line, number) in text.lines().zip(1..) {
        let bytes = unhex(line).unwrap();
        let mut left = bytes.as_slice();
        let value = read_value(&mut left).unwrap();
        assert!(left.is_empty(), "elixir.txt:{number}: bytes follow the value");
        assert_eq!(hex(&packed(&value).unwrap()), hex(&bytes), "elixir.txt:{number}: {value:?}");
    }
    assert!(text.lines().count() >= 50);
}

/// The only extension that both ends know, in its three sizes.
fn moment(seconds: i64, nanos: u32) -> (String, Value) {
    let data = match (u32::try_from(seconds), u64::try_from(seconds)) {
        (Ok(short), _) if nanos == 0 => short.to_be_bytes().to_vec(),
        (_, Ok(low)) if low < 1 << 34 => ((u64::from(nanos) << 34) | low).to_be_bytes().to_vec(),
        _ => [&nanos.to_be_bytes()[..], &seconds.to_be_bytes()].concat(),
    };
    (format!("moment {seconds} {nanos}"), Value::Ext(-1, data))
}

/// Each family at the bounds where its head changes; lengths of 32 bits would fill the file and show no more.
fn ours() -> Vec<(String, Value)> {
    let mut values: Vec<(String, Value)> =
        vec![("nil".into(), Value::Nil), ("true".into(), true.into()), ("false".into(), false.into())];
    let below = [
        0,
        -1,
        -32,
        -33,
        -128,
        -129,
        -32_768,
        -32_769,
        i64::from(i32::MIN),
        i64::from(i32::MIN) - 1,
        i64::MIN,
    ];
    values.extend(below.map(|number| (format!("integer {number}"), number.into())));
    let above = [127, 128, 255, 256, 65_535, 65_536, u64::from(u32::MAX), u64::from(u32::MAX) + 1, u64::MAX];
    values.extend(above.map(|number| (format!("integer {number}"), number.into())));
    values.extend(
        [0.0, -1.5, 1e300, f64::MIN_POSITIVE].map(|number| (format!("float {number:e}"), number.into())),
    );
    values.push(("single 1.5e0".into(), Value::F32(1.5)));
    for size in [0, 31, 32, 255, 256] {
        values.push((format!("text {size}"), "a".repeat(size).into()));
    }
    for size in [1, 255, 256] {
        values.push((format!("bytes {size}"), Value::Binary(vec![0xFF; size])));
    }
    for count in [0, 15, 16] {
        values.push((format!("list {count}"), Value::Array(vec![Value::Nil; count])));
        let entries = (0..count).map(|key| (Value::from(key), Value::Nil));
        values.push((format!("map {count}"), Value::Map(entries.collect())));
    }
    values.extend([moment(0, 0), moment(1_700_000_000, 0), moment(1_700_000_000, 123_456_000)]);
    values.extend([moment(1 << 33, 1_000), moment(-1, 999_999_000), moment(253_402_300_799, 0)]);
    values
}

#[test]
fn what_rust_packs_is_what_elixir_reads() {
    let lines: Vec<String> =
        ours().iter().map(|(what, value)| format!("{what}: {}\n", hex(&packed(value).unwrap()))).collect();
    let text = lines.concat();
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(golden("rust.txt"), &text).unwrap();
    }
    assert!(
        fs::read_to_string(golden("rust.txt")).unwrap_or_default() == text,
        "rust.txt is another one: WRITE_GOLDEN=1 writes it anew"
    );
}
