// SPDX-License-Identifier: Apache-2.0
//! A check in Rust without a line of C, for test_outsider.py: counts the lines of a file. It needs the layout of plugin.h alone, which
//! stands here by hand, as far as it is used. bindgen makes the same from the header.
use std::ffi::CStr;
use std::os::raw::{c_char, c_void};

const ABI_MAJOR: u16 = 0;
const ABI_MINOR: u16 = 4;
const HEALTHY: i32 = 1;
const UNHEALTHY: i32 = 3;
const REASON_MISSING: i32 = 2;
const TYPE_TEXT: i32 = 1;
const TYPE_INTEGER: i32 = 3;
const FLAG_TARGET: u32 = 1;
const GAUGE: i32 = 1;

#[repr(C)]
struct Label {
    name: *const c_char,
    value: *const c_char,
}

#[repr(C)]
struct Sample {
    size: u32,
    kind: i32,
    name: *const c_char,
    help: *const c_char,
    value: f64,
    labels: *const Label,
    label_count: usize,
}

/// The table's functions up to the last one that is used; the core's may be longer.
#[repr(C)]
struct Host {
    size: u32,
    log: Option<unsafe extern "C" fn(*mut Handle, i32, *const u8, usize)>,
    say: Option<unsafe extern "C" fn(*mut Handle, *const u8, usize)>,
    reason: Option<unsafe extern "C" fn(*mut Handle, i32)>,
    detail_text: Option<unsafe extern "C" fn(*mut Handle, *const c_char, *const u8, usize)>,
    detail_number: *const c_void,
    detail_boolean: *const c_void,
    detail_json: *const c_void,
    number: Option<unsafe extern "C" fn(*mut Handle, *const c_char, f64)>,
    sample: Option<unsafe extern "C" fn(*mut Handle, *const Sample)>,
    ms_left: Option<unsafe extern "C" fn(*mut Handle) -> i64>,
}

#[repr(C)]
struct Handle {
    host: *const Host,
}

#[repr(C)]
struct SkymonOption {
    name: *const c_char,
    fallback: *const c_char,
    kind: i32,
    offset: u32,
    size: u32,
    help: *const c_char,
    flags: u32,
    min: f64,
    max: f64,
    words: *const *const c_char,
    item: *const SkymonOption,
    item_size: u32,
}

#[repr(C)]
struct Number {
    name: *const c_char,
    unit: *const c_char,
    help: *const c_char,
}

#[repr(C)]
pub struct Plugin {
    abi_major: u16,
    abi_minor: u16,
    size: u32,
    name: *const c_char,
    version: *const c_char,
    summary: *const c_char,
    option_size: u32,
    number_size: u32,
    flags: u32,
    state_size: u32,
    shared_size: u32,
    interval_ms: u32,
    timeout_ms: u32,
    options: *const SkymonOption,
    numbers: *const Number,
    load: Option<unsafe extern "C" fn(*mut Handle, *mut c_void) -> bool>,
    unload: Option<unsafe extern "C" fn(*mut Handle, *mut c_void)>,
    start: Option<unsafe extern "C" fn(*mut Handle, *mut State) -> bool>,
    stop: Option<unsafe extern "C" fn(*mut Handle, *mut State)>,
    check: Option<unsafe extern "C" fn(*mut Handle, *mut State) -> i32>,
    routes: *const c_void,
    secret: *const c_void,
    validate: *const c_void,
    begin: *const c_void,
    cancel: *const c_void,
}

unsafe impl Sync for Plugin {} // nothing in it changes
struct Options([SkymonOption; 3]);
unsafe impl Sync for Options {}
struct Numbers([Number; 2]);
unsafe impl Sync for Numbers {}

#[repr(C)]
struct State {
    path: *const c_char,
    at_least: i64,
}

const fn text(bytes: &'static [u8]) -> *const c_char {
    bytes.as_ptr() as *const c_char
}

const NONE: *const c_char = std::ptr::null();
const END: SkymonOption = SkymonOption {
    name: NONE, fallback: NONE, kind: 0, offset: 0, size: 0, help: NONE, flags: 0, min: 0.0, max: 0.0, words: std::ptr::null(),
    item: std::ptr::null(), item_size: 0,
};

static OPTIONS: Options = Options([
    SkymonOption { name: text(b"path\0"), kind: TYPE_TEXT, offset: 0, size: 8, help: text(b"the file\0"), flags: FLAG_TARGET, ..END },
    SkymonOption {
        name: text(b"at_least\0"), fallback: text(b"1\0"), kind: TYPE_INTEGER, offset: 8, size: 8,
        help: text(b"fewest lines of a good file\0"), min: 1.0, ..END
    },
    END,
]);

static NUMBERS: Numbers = Numbers([
    Number { name: text(b"lines\0"), unit: text(b"\0"), help: text(b"Lines of the file\0") },
    Number { name: NONE, unit: NONE, help: NONE },
]);

unsafe extern "C" fn check(sm: *mut Handle, state: *mut State) -> i32 {
    let host = &*(*sm).host;
    let say = |status: i32, sentence: &str| {
        host.say.unwrap()(sm, sentence.as_ptr(), sentence.len());
        status
    };
    let path = CStr::from_ptr((*state).path).to_string_lossy();
    let content = match std::fs::read(&*path) {
        Ok(content) => content,
        Err(error) => {
            host.reason.unwrap()(sm, REASON_MISSING);
            return say(UNHEALTHY, &format!("cannot read {path}: {error}"));
        }
    };
    let lines = content.iter().filter(|byte| **byte == b'\n').count();
    let label = Label { name: text(b"language\0"), value: text(b"rust\0") };
    host.number.unwrap()(sm, text(b"lines\0"), lines as f64);
    host.sample.unwrap()(sm, &Sample {
        size: std::mem::size_of::<Sample>() as u32, kind: GAUGE, name: text(b"file_lines\0"), help: text(b"Lines of the file\0"),
        value: lines as f64, labels: &label, label_count: 1,
    });
    host.detail_text.unwrap()(sm, text(b"path\0"), path.as_ptr(), path.len());
    assert!(host.ms_left.unwrap()(sm) > 0);
    let status = if lines as i64 >= (*state).at_least { HEALTHY } else { UNHEALTHY };
    say(status, &format!("{path} has {lines} lines"))
}

#[no_mangle]
#[allow(non_upper_case_globals)]
pub static skymon_plugin: Plugin = Plugin {
    abi_major: ABI_MAJOR,
    abi_minor: ABI_MINOR,
    size: std::mem::size_of::<Plugin>() as u32,
    name: text(b"lines\0"),
    version: text(b"1.0\0"),
    summary: text(b"Lines of a file, in Rust\0"),
    option_size: std::mem::size_of::<SkymonOption>() as u32,
    number_size: std::mem::size_of::<Number>() as u32,
    flags: 0,
    state_size: std::mem::size_of::<State>() as u32,
    shared_size: 0,
    interval_ms: 0,
    timeout_ms: 0,
    options: OPTIONS.0.as_ptr(),
    numbers: NUMBERS.0.as_ptr(),
    load: None,
    unload: None,
    start: None,
    stop: None,
    check: Some(check),
    routes: std::ptr::null(),
    secret: std::ptr::null(),
    validate: std::ptr::null(),
    begin: std::ptr::null(),
    cancel: std::ptr::null(),
};
