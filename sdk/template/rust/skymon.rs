// SPDX-License-Identifier: Apache-2.0
//! The part of skymon/plugin.h that a check needs, ABI 0.4: its structs by hand, and safe functions around them. For another
//! version of the ABI take this file again from `skymon new`; the Makefile compares.
#![allow(dead_code)]
use std::ffi::{CStr, CString};
use std::os::raw::{c_char, c_void};

pub const ABI: (u16, u16) = (0, 4);

pub type Status = i32;
pub const UNKNOWN: Status = 0;
pub const HEALTHY: Status = 1;
pub const DEGRADED: Status = 2;
pub const UNHEALTHY: Status = 3;

// The types of options, with the size of their members: *const c_char by `Text`, bool, i64, f64.
pub const TEXT: (i32, u32) = (1, 8);
pub const BOOLEAN: (i32, u32) = (2, 1);
pub const INTEGER: (i32, u32) = (3, 8);
pub const REAL: (i32, u32) = (4, 8);
pub const TARGET: u32 = 1; // flags of options
pub const REQUIRED: u32 = 2;

/// A text option. Empty when it was left out without a default.
#[repr(C)]
pub struct Text(*const c_char);

impl Text {
    pub fn get(&self) -> String {
        if self.0.is_null() { String::new() } else { unsafe { CStr::from_ptr(self.0) }.to_string_lossy().into_owned() }
    }
}

#[repr(C)]
pub struct Host {
    size: u32,
    log: extern "C" fn(*mut Handle, i32, *const u8, usize),
    say: extern "C" fn(*mut Handle, *const u8, usize),
    reason: *const c_void,
    detail_text: extern "C" fn(*mut Handle, *const c_char, *const u8, usize),
    detail_number: extern "C" fn(*mut Handle, *const c_char, f64),
    detail_boolean: *const c_void,
    detail_json: *const c_void,
    number: extern "C" fn(*mut Handle, *const c_char, f64),
    sample: *const c_void,
    ms_left: extern "C" fn(*mut Handle) -> i64,
    step: extern "C" fn(*mut Handle, *const c_char),
}

#[repr(C)]
pub struct Handle {
    host: *const Host,
}

/// What a check reports to, for the time of one run.
pub struct Skymon(pub *mut Handle);

impl Skymon {
    fn host(&self) -> &Host {
        unsafe { &*(*self.0).host }
    }
    fn say(&self, status: Status, message: &str) -> Status {
        (self.host().say)(self.0, message.as_ptr(), message.len());
        status
    }
    pub fn healthy(&self, message: &str) -> Status {
        self.say(HEALTHY, message)
    }
    pub fn degraded(&self, message: &str) -> Status {
        self.say(DEGRADED, message)
    }
    pub fn unhealthy(&self, message: &str) -> Status {
        self.say(UNHEALTHY, message)
    }
    pub fn unknown(&self, message: &str) -> Status {
        self.say(UNKNOWN, message)
    }
    pub fn verdict(&self, ok: bool, message: &str) -> Status {
        self.say(if ok { HEALTHY } else { UNHEALTHY }, message)
    }
    /// A declared number.
    pub fn number(&self, name: &str, value: f64) {
        (self.host().number)(self.0, c_text(name).as_ptr(), value);
    }
    pub fn detail(&self, key: &str, text: &str) {
        (self.host().detail_text)(self.0, c_text(key).as_ptr(), text.as_ptr(), text.len());
    }
    pub fn detail_number(&self, key: &str, value: f64) {
        (self.host().detail_number)(self.0, c_text(key).as_ptr(), value);
    }
    /// Names the next step, for the message of a timeout or a crash.
    pub fn step(&self, text: &str) {
        (self.host().step)(self.0, c_text(text).as_ptr());
    }
    pub fn ms_left(&self) -> i64 {
        (self.host().ms_left)(self.0)
    }
}

fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

#[repr(C)]
pub struct Item {
    pub name: *const c_char,
    pub fallback: *const c_char,
    pub kind: i32,
    pub offset: u32,
    pub size: u32,
    pub help: *const c_char,
    pub flags: u32,
    pub min: f64,
    pub max: f64,
    pub words: *const c_void,
    pub item: *const c_void,
    pub item_size: u32,
}
unsafe impl Sync for Item {} // constants

pub const NO_ITEM: Item = Item {
    name: std::ptr::null(), fallback: std::ptr::null(), kind: 0, offset: 0, size: 0, help: std::ptr::null(), flags: 0, min: 0.0, max: 0.0,
    words: std::ptr::null(), item: std::ptr::null(), item_size: 0,
};

#[repr(C)]
pub struct Number(pub *const c_char, pub *const c_char, pub *const c_char);
unsafe impl Sync for Number {}

#[repr(C)]
pub struct Plugin {
    pub abi: (u16, u16),
    pub size: u32,
    pub texts: [*const c_char; 3], // name, version, summary
    pub option_size: u32,
    pub number_size: u32,
    pub flags: u32,
    pub state_size: u32,
    pub shared_size: u32,
    pub interval_ms: u32,
    pub timeout_ms: u32,
    pub options: *const Item,
    pub numbers: *const Number,
    pub callbacks: [*const c_void; 4], // load, unload, start, stop
    pub check: unsafe extern "C" fn(*mut Handle, *mut c_void) -> Status,
    pub others: [*const c_void; 5], // routes, secret, validate, begin, cancel
}
unsafe impl Sync for Plugin {}

#[macro_export]
macro_rules! c {
    ($text:expr) => { concat!($text, "\0").as_ptr() as *const std::os::raw::c_char };
}

/// option!(State, member, TEXT, "help" [, flags: TARGET] [, fallback: "default"])
#[macro_export]
macro_rules! option {
    ($state:ty, $member:ident, $kind:expr, $help:literal $(, $key:ident: $value:expr)*) => {
        $crate::skymon::Item {
            name: $crate::c!(stringify!($member)), kind: $kind.0, size: $kind.1, offset: std::mem::offset_of!($state, $member) as u32,
            help: $crate::c!($help), $($key: $crate::value!($key $value),)* ..$crate::skymon::NO_ITEM
        }
    };
}

#[macro_export]
macro_rules! value {
    (fallback $value:expr) => { $crate::c!($value) };
    ($key:ident $value:expr) => { $value };
}

/// number!("age", "s", "help"): the units s, bytes and ratio let the configuration say 200ms, 1GiB and 80%.
#[macro_export]
macro_rules! number {
    ($name:literal, $unit:literal, $help:literal) => { $crate::skymon::Number($crate::c!($name), $crate::c!($unit), $crate::c!($help)) };
}

#[macro_export]
macro_rules! plugin {
    ($name:literal, $version:literal, $summary:literal, $state:ty, $check:ident, [$($option:expr),*], [$($number:expr),*]) => {
        const OPTIONS: &[$crate::skymon::Item] = &[$($option,)* $crate::skymon::NO_ITEM];
        const NUMBERS: &[$crate::skymon::Number] =
            &[$($number,)* $crate::skymon::Number(std::ptr::null(), std::ptr::null(), std::ptr::null())];

        unsafe extern "C" fn run(handle: *mut $crate::skymon::Handle, state: *mut std::os::raw::c_void) -> $crate::skymon::Status {
            let sm = $crate::skymon::Skymon(handle);
            let call = std::panic::AssertUnwindSafe(|| $check(&sm, unsafe { &mut *(state as *mut $state) }));
            std::panic::catch_unwind(call).unwrap_or_else(|_| sm.unknown("the check panicked; the log says where"))
        }

        #[no_mangle]
        #[allow(non_upper_case_globals)]
        pub static skymon_plugin: $crate::skymon::Plugin = $crate::skymon::Plugin {
            abi: $crate::skymon::ABI,
            size: std::mem::size_of::<$crate::skymon::Plugin>() as u32,
            texts: [$crate::c!($name), $crate::c!($version), $crate::c!($summary)],
            option_size: std::mem::size_of::<$crate::skymon::Item>() as u32,
            number_size: std::mem::size_of::<$crate::skymon::Number>() as u32,
            flags: 0,
            state_size: std::mem::size_of::<$state>() as u32,
            shared_size: 0,
            interval_ms: 0,
            timeout_ms: 0,
            options: OPTIONS.as_ptr(),
            numbers: NUMBERS.as_ptr(),
            callbacks: [std::ptr::null(); 4],
            check: run,
            others: [std::ptr::null(); 5],
        };
    };
}
