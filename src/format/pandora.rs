//! Modules for the agent of Pandora FMS, which puts them into its own XML as they are.

use crate::format::{Style, passive};
use crate::model::range::Number;
use crate::model::report::Report;
use std::io::{self, Write};

/// The most bytes of a description.
const MOST: usize = 4 << 10;
/// Between a check and its metric: no name and no label has a `|`, so that no two modules share a name.
const OF: &str = " | ";

pub fn write(report: &Report, _: &Style, to: &mut dyn Write) -> io::Result<()> {
    for result in passive::all(report) {
        let name = match result.name {
            passive::SUMMARY => result.name.to_owned(),
            name => format!("koshu {name}"),
        };
        // 1 is WARNING, 2 and above CRITICAL and UNKNOWN; a largest value of 0 is none.
        let limits = "<min_warning>1</min_warning><max_warning>2</max_warning><min_critical>2</min_critical><max_critical>0</max_critical>";
        let state = result.state.code().to_string();
        module(to, &name, &state, &result.long_text(MOST), limits)?;
        for metric in &result.metrics {
            let name = format!("{name}{OF}{}", metric.label);
            let unit = format!("<unit>{}</unit>", cdata(metric.unit_symbol()));
            let value = Number(metric.value).to_string();
            module(to, &name, &value, "", &unit)?;
        }
    }
    Ok(())
}

fn module(to: &mut dyn Write, name: &str, value: &str, text: &str, more: &str) -> io::Result<()> {
    let name = cdata(name);
    let description = cdata(text);
    writeln!(
        to,
        "<module><name>{name}</name><type>generic_data</type><data>{value}</data><description>{description}</description>{more}</module>"
    )
}

/// Character data that nothing in it can end, without the characters that no XML document may have.
fn cdata(text: &str) -> String {
    let text = text.replace(['\u{fffe}', '\u{ffff}'], "");
    format!("<![CDATA[{}]]>", text.replace("]]>", "]]]]><![CDATA[>"))
}
