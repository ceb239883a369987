// SPDX-License-Identifier: Apache-2.0
//! @NAME@: is a file that is written again and again there, and not empty? `warn` and `crit` of the configuration say
//! how old it may be. Replace the check by your own.
mod skymon;
use skymon::{Skymon, Status, Text, TARGET, TEXT};

#[repr(C)]
struct Check { file: Text } // one for each component, zeroed: the options, then what the check remembers

fn check(sm: &Skymon, own: &mut Check) -> Status {
    let path = own.file.get();
    let file = match std::fs::metadata(&path) {
        Ok(file) => file,
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => return sm.unhealthy(&format!("{path} is missing")),
        Err(fault) => return sm.unknown(&format!("cannot look at {path}: {fault}")),
    };
    let age = file.modified().ok().and_then(|at| at.elapsed().ok()).map_or(0.0, |age| age.as_secs_f64());
    sm.number("age", age);
    sm.verdict(file.len() > 0, &format!("{} bytes, written {age:.0} s ago", file.len()))
}

plugin!("@NAME@", "0.1", "Is a file there, young and not empty?", Check, check,
    [option!(Check, file, TEXT, "file to watch", flags: TARGET)], [number!("age", "s", "time since the file was written")]);
