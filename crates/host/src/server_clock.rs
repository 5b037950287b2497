//! The clock of a Redis server, as scripts see it: the app's, where that is not the machine's.
//!
//! A real server goes by the real time, and components under a virtual clock would take it for a clock that is
//! years off. So the host runs each script behind a line that puts another time in the place of `TIME`, and gives
//! that time as the last two arguments, which the line takes away again. The name of a script changes with its
//! text: the guest's names are translated, and a name that the host has not seen with its text is one that the
//! server does not know either, whoever else may have told it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use redis::{Cmd, Script};

use crate::calls::Control;
use crate::clock::Clock;
use crate::lock::lock;

/// Stands before the script, on its first line, so that the numbers of its lines stay.
const PRELUDE: &str = "local micros = table.remove(ARGV) local seconds = table.remove(ARGV) \
    local redis = (function(own) \
    local function by(run) return function(name, ...) \
    if string.upper(name) ~= 'TIME' then return run(name, ...) end \
    if seconds == '' then return {err = 'NOPERM the time is withheld'} end \
    return {seconds, micros} end end \
    return setmetatable({call = by(own.call), pcall = by(own.pcall)}, {__index = own}) \
    end)(redis) ";
/// The name of no script.
const NO_SCRIPT: &str = "0000000000000000000000000000000000000000";
const MS_PER_MINUTE: u128 = 60_000;

/// The clock of all servers of an app.
pub(crate) struct ServerClock {
    clock: Arc<Clock>,
    control: Option<Arc<Control>>,
    /// By the guest's name of a script, the server's.
    names: Mutex<BTreeMap<String, String>>,
}

impl ServerClock {
    pub(crate) fn new(clock: Arc<Clock>, control: Option<Arc<Control>>) -> Self {
        Self { clock, control, names: Mutex::default() }
    }

    /// The command that runs a script at this moment of the app's clock; nothing where the server's own clock
    /// is right, and for other commands.
    pub(crate) fn script(&self, command: &str, arguments: &[Vec<u8>]) -> Option<Cmd> {
        let control = self.control.as_ref();
        let is_virtual = matches!(*self.clock, Clock::Virtual(_));
        if !is_virtual && !control.is_some_and(|control| control.has_store_clock_faults()) {
            return None;
        }
        let (script, rest) = arguments.split_first()?;
        let mut run = redis::cmd(command);
        match command {
            "EVAL" => {
                let text = String::from_utf8_lossy(script);
                let own = format!("{PRELUDE}{text}");
                let name = |text: &str| Script::new(text).get_hash().to_owned();
                lock(&self.names).insert(name(&text), name(&own));
                run.arg(own);
            }
            "EVALSHA" => {
                let name = String::from_utf8_lossy(script);
                run.arg(lock(&self.names).get(&*name).map_or(NO_SCRIPT, String::as_str));
            }
            _ => return None,
        }
        let (seconds, micros) = self.time().unwrap_or_default();
        run.arg(rest).arg(seconds).arg(micros);
        Some(run)
    }

    /// What `TIME` answers; nothing where it is withheld.
    fn time(&self) -> Option<(String, String)> {
        let control = self.control.as_ref();
        if control.is_some_and(|control| control.is_store_clock_withheld()) {
            return None;
        }
        let minute = self.clock.system().as_millis() / MS_PER_MINUTE;
        let minute = u64::try_from(minute).unwrap_or(u64::MAX);
        let off_ms = control.map_or(0, |control| control.store_clock_off_ms(minute));
        let time = self.clock.system_off_by(off_ms);
        Some((time.as_secs().to_string(), time.subsec_micros().to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Faults, Time};

    const START_MS: u64 = 1_700_000_000_123;

    fn server_clock(time: Time, faults: Faults) -> ServerClock {
        let clock = Arc::new(Clock::new(time));
        let control = Control::new(faults, Arc::clone(&clock), None);
        ServerClock::new(clock, Some(Arc::new(control)))
    }

    fn arguments(clock: &ServerClock, command: &str, script: &str) -> Option<Vec<String>> {
        let command = clock.script(command, &[script.into(), b"1".to_vec(), b"k".to_vec()])?;
        let text = |argument| match argument {
            redis::Arg::Simple(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            redis::Arg::Cursor => String::new(),
        };
        Some(command.args_iter().map(text).collect())
    }

    #[test]
    fn scripts_run_at_the_virtual_time_under_names_that_the_host_has_seen() {
        let clock = server_clock(Time::Seeded { start_ms: START_MS }, Faults::default());
        let script = "return redis.call('TIME')";
        let name = Script::new(script).get_hash().to_owned();
        let unknown = arguments(&clock, "EVALSHA", &name).expect("a script");
        assert_eq!(unknown, ["EVALSHA", NO_SCRIPT, "1", "k", "1700000000", "123000"]);
        let first = arguments(&clock, "EVAL", script).expect("a script");
        let own = format!("{PRELUDE}{script}");
        assert_eq!(first, ["EVAL", &own, "1", "k", "1700000000", "123000"]);
        let again = arguments(&clock, "EVALSHA", &name).expect("a script");
        assert_eq!(again[1], Script::new(&own).get_hash());
        assert_eq!(arguments(&clock, "GET", "k"), None);
    }

    #[test]
    fn a_server_goes_by_its_own_clock_in_real_time() {
        assert_eq!(arguments(&server_clock(Time::Real, Faults::default()), "EVAL", "x"), None);
        let withheld = Faults { store_clock_withheld: true, ..Faults::default() };
        let withheld = server_clock(Time::Real, withheld);
        let run = arguments(&withheld, "EVAL", "x").expect("a script");
        assert_eq!(run[4..], [String::new(), String::new()]);
        withheld.control.as_ref().expect("there are faults").stop_faults();
        let run = arguments(&withheld, "EVAL", "x").expect("a script");
        assert_ne!(run[4], "");
    }

    #[test]
    fn a_servers_clock_jumps_from_minute_to_minute_within_the_bound() {
        let faults = Faults { seed: 3, store_clock_off_ms_max: 10_000, ..Faults::default() };
        let clock = server_clock(Time::Seeded { start_ms: START_MS }, faults);
        let control = clock.control.as_ref().expect("there are faults");
        let off: Vec<i64> = (0..100).map(|minute| control.store_clock_off_ms(minute)).collect();
        assert!(off.iter().all(|ms| ms.abs() <= 10_000), "{off:?}");
        assert!(off.iter().any(|ms| *ms > 5_000) && off.iter().any(|ms| *ms < -5_000), "{off:?}");
        control.stop_faults();
        assert_eq!(control.store_clock_off_ms(1), 0);
    }
}
