//! The formats that one pattern describes: the time comes first (or after a few words), the rest is named groups.

use std::sync::OnceLock;

use regex::Regex;

/// A level as a word.
const LV: &str = r"(?P<level>(?i:trace|debug|info|notice|warn(?:ing)?|err(?:or)?|severe|fatal|crit(?:ical)?|alert|emerg|panic|fine|finer|finest|verbose))";
/// A time of one or two words, as far as a pattern must know.
const TS: &str =
    r"(?P<time>\d{2,4}[-/]?\d\d[-/]?\d\d[T_ .:-]\d\d:?\d\d(?::?\d\d)?(?:[.,]\d+)?(?: ?(?:Z|[+-]\d\d:?\d\d|UTC|GMT))?)";

/// One such format: its name, how many words stand before the time, and its pattern.
pub(crate) struct Builtin {
    pub name: &'static str,
    pub words: u8,
    pattern: &'static str,
    compiled: OnceLock<Option<Regex>>,
}

impl Builtin {
    const fn new(name: &'static str, words: u8, pattern: &'static str) -> Builtin {
        Builtin {
            name,
            words,
            pattern,
            compiled: OnceLock::new(),
        }
    }

    /// The pattern; a test holds that each compiles.
    pub(crate) fn regex(&self) -> Option<&Regex> {
        let make = || Regex::new(&self.pattern.replace("%LV", LV).replace("%TS", TS)).ok();
        self.compiled.get_or_init(make).as_ref()
    }
}

/// All of them; the more particular first.
pub(crate) static BUILTIN: [Builtin; 24] = [
    Builtin::new(
        "nginx_error",
        0,
        r"^%TS \[(?P<level>\w+)\] (?P<pid>\d+)#(?P<tid>\d+): (?:\*(?P<connection>\d+) )?(?P<body>.*)$",
    ),
    Builtin::new(
        "apache_error",
        0,
        r"^\[(?P<time>\w{3} \w{3} +\d+ [\d:.]+ \d{4})\] \[(?:(?P<module>\w*):)?(?P<level>\w+)\] (?:\[pid (?P<pid>\d+)(?::tid (?P<tid>\d+))?\] )?(?:\[client (?P<client>[^\]]+)\] )?(?P<body>.*)$",
    ),
    Builtin::new(
        "rails",
        1,
        r"^(?P<letter>[DIWEFA]), \[(?P<time>[\d:T.-]+)(?: (?:#(?P<pid>\d+)))?\] +(?P<level>\w+) -- (?P<program>[^:]*): (?P<body>.*)$",
    ),
    Builtin::new(
        "cri",
        0,
        r"^%TS (?P<stream>stdout|stderr) (?P<tag>[FP](?::\S+)?) (?P<body>.*)$",
    ),
    Builtin::new(
        "postgres",
        0,
        r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: [A-Z]{2,5}|[ ]?[+-]\d+)?) (?:\[(?P<pid>\d+)(?:-\d+)?\] )(?:(?P<user>[^@ :]+)@(?P<db>\S+) )?(?P<level>DEBUG\d?|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC|STATEMENT|DETAIL|HINT|CONTEXT): +(?P<body>.*)$",
    ),
    Builtin::new(
        "mysql_error",
        0,
        r"^%TS (?P<thread>\d+) \[(?P<level>Note|Warning|Error|System)\] (?:\[(?P<code>MY-\d+)\] )?(?:\[(?P<subsystem>\w+)\] )?(?P<body>.*)$",
    ),
    Builtin::new(
        "redis",
        1,
        r"^(?P<pid>\d+):(?P<role>[XCSM]) (?P<time>\d\d \w{3} \d{4} [\d:.]+) (?P<mark>[.*#-]) (?P<body>.*)$",
    ),
    Builtin::new(
        "log4j",
        0,
        r"^%TS +%LV +\d+ --- \[(?P<thread>[^\]]*)\] +(?P<logger>\S+) *: (?P<body>.*)$",
    ),
    Builtin::new(
        "log4j",
        0,
        r"^%TS +%LV +\[(?P<thread>[^\]]*)\] +(?P<logger>[^\s:]+)(?: +-|:| +:) +(?P<body>.*)$",
    ),
    Builtin::new(
        "log4j",
        0,
        r"^%TS +\[(?P<thread>[^\]]*)\] +%LV +(?P<logger>\S+)(?: +-|:| +:) +(?P<body>.*)$",
    ),
    Builtin::new(
        "zookeeper",
        0,
        r"^%TS \[myid:(?P<myid>\d*)\] - %LV +\[(?P<thread>.*)\] - (?P<body>.*)$",
    ),
    Builtin::new(
        "spark",
        0,
        r"^(?P<time>\d\d/\d\d/\d\d \d\d:\d\d:\d\d) %LV (?P<logger>[\w.$]+): (?P<body>.*)$",
    ),
    Builtin::new("python", 0, r"^%TS - (?P<logger>\S+) - %LV - (?P<body>.*)$"),
    Builtin::new(
        "openstack",
        0,
        r"^%TS (?P<pid>\d+) %LV (?P<logger>\S+) \[(?P<request>[^\]]*)\] (?P<body>.*)$",
    ),
    Builtin::new(
        "tracing",
        0,
        r"^%TS +%LV +(?P<target>[A-Za-z_]\w*(?:::\w+)*): (?P<body>.*)$",
    ),
    Builtin::new(
        "env_logger",
        0,
        r"^\[%TS +%LV +(?P<target>[A-Za-z_]\w*(?:::\w+)*)\] (?P<body>.*)$",
    ),
    Builtin::new(
        "vmware",
        0,
        r"^(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>\w+) (?P<program>[\w.-]+)\[(?P<pid>\w+)\] (?:\[(?P<context>[^\]]*)\] )?(?P<body>.*)$",
    ),
    Builtin::new(
        "vdsm",
        2,
        r"^(?P<thread>[^:]+)::%LV::%TS::(?P<module>[^:]+)::(?P<line>\d+)::(?P<logger>[^:]*)::(?P<body>.*)$",
    ),
    Builtin::new(
        "zap_console",
        0,
        r"^%TS\t(?P<level>\w+)\t(?:(?P<caller>[^\t]+)\t)?(?P<body>[^\t]*)(?:\t(?P<context>\{.*))?$",
    ),
    Builtin::new(
        "laravel",
        0,
        r"^\[%TS\] (?P<channel>\w+)\.(?P<level>[A-Z]+): (?P<body>.*)$",
    ),
    Builtin::new(
        "logcat",
        0,
        r"^(?P<time>(?:\d{4}-)?\d\d-\d\d [\d:.]+) +(?P<pid>\d+) +(?P<tid>\d+) (?P<level>[VDIWEF]) (?P<tag>[^:]+): (?P<body>.*)$",
    ),
    Builtin::new("python", 0, r"^%TS +%LV +(?P<logger>[A-Za-z_][\w.]*):? +(?P<body>.*)$"),
    Builtin::new("python", 0, r"^%TS +%LV[: -]+(?P<body>.*)$"),
    Builtin::new(
        "dpkg",
        0,
        r"^(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<action>startup|status|configure|install|upgrade|trigproc|remove|purge) (?P<body>.*)$",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles() {
        for format in &BUILTIN {
            assert!(format.regex().is_some(), "{}", format.name);
        }
    }
}
