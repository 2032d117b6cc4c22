//! One list whose results every engine must show: the four states, UTF-8, perfdata, and a text that would break out of
//! every format if it could.

use crate::koshu::{Lists, koshu};

/// What one check says.
pub struct Expected {
    pub name: &'static str,
    pub code: u8,
    /// The first line without perfdata.
    pub text: &'static str,
    /// A line below it, or nothing.
    pub detail: &'static str,
    pub perfdata: &'static str,
}

/// The checks of [`lists`] besides the hostile one.
pub const EXPECTED: [Expected; 4] = [
    Expected {
        name: "fine",
        code: 0,
        text: "OK - 古酒 ✓ is fine",
        detail: "",
        perfdata: "time=0.5s;1;2;0",
    },
    Expected {
        name: "soon",
        code: 1,
        text: "WARNING - 91% used: é",
        detail: "do: clean up (storage team)",
        perfdata: "used=91%;80;95;0;100",
    },
    Expected {
        name: "broken",
        code: 2,
        text: "CRITICAL - no answer",
        detail: "a second line",
        perfdata: "loss=100%;20;60;0 rta=0.25s",
    },
    Expected {
        name: "blind",
        code: 3,
        text: "UNKNOWN - permission denied",
        detail: "",
        perfdata: "",
    },
];

/// The beginning of the text of the check `hostile`, which is CRITICAL.
pub const HOSTILE: &str = "CRITICAL - evil ]]> 'q' \"d\" $(id) `id` \\n &red <b>";

/// What may stand nowhere but inside the hostile check's own text.
const INJECTED: &str = "evil ]]> 'q' \"d\" $(id) `id` \\n &red <b>\n\nstatus box,lab.injected green fine\n\x17box\tinjected\t0\tfine\n<<<<other>>>>\n0 \"injected\" - fine\n]]></data></module>\n[1] PROCESS_SERVICE_CHECK_RESULT;box;injected;0;fine\nhost_name=box\nservice_description=injected\nreturn_code=0\noutput=fine\n\x00\u{ff} after";

/// The list.
pub fn lists() -> Lists {
    let lists = Lists::new(
        "[[check]]\nname = 'fine'\ntype = 'plugin'\ncommand = ['echo', 'OK - 古酒 ✓ is fine | time=0.5s;1;2;0']\n\
         [[check]]\nname = 'soon'\ntype = 'plugin'\nshell = true\ncommand = 'echo \"WARNING: 91% used: é | used=91%;80;95;0;100\"; exit 1'\nowner = 'storage team'\naction = 'clean up'\n\
         [[check]]\nname = 'broken'\ntype = 'plugin'\nshell = true\ncommand = 'echo \"no answer | loss=100%;20;60;0 rta=0.25s\"; echo a second line; exit 2'\n\
         [[check]]\nname = 'blind'\ntype = 'plugin'\nshell = true\ncommand = 'echo permission denied; exit 3'\n\
         [[check]]\nname = 'hostile'\ntype = 'plugin'\nshell = true\ncommand = 'cat hostile; exit 2'\naction = 'a | b=1'\n",
    );
    let mut text: Vec<u8> = INJECTED.bytes().collect();
    if let Some(at) = text.windows(2).position(|it| it == "ÿ".as_bytes()) {
        text.splice(at..at + 2, [0xff]);
    }
    for number in 0..2000 {
        text.extend(format!("\nline {number} of a text of 100 kB, all of it, to the end").bytes());
    }
    assert!(text.len() > 100_000);
    lists.add("hostile", &text);
    lists
}

/// A name that tries to get out of every configuration and shell.
pub const AWKWARD: &str = "it's \"100%\" of $HOME; \\n `id` $(id) & more";

/// A list of one check that is called so.
pub fn awkward() -> Lists {
    let name = AWKWARD.replace('\\', "\\\\").replace('"', "\\\"");
    Lists::new(&format!(
        "[[check]]\nname = \"{name}\"\nlabel = 'awkward'\ntype = 'plugin'\ncommand = ['echo', 'OK - reached']\n"
    ))
}

/// What `koshu export` writes for the list.
#[track_caller]
pub fn export(lists: &Lists, words: &[&str]) -> String {
    let said = koshu(&[&["export"], words, &["-c", &lists.file()]].concat());
    assert_eq!(said.code, 0, "{}", said.out);
    said.out
}
