//! Chef and Ohai: the answer as attributes of the node.

use crate::export::{Engine, Order, Part};

pub const ENGINE: Engine = Engine {
    name: "ohai",
    title: "Chef: Ohai, recipes, InSpec",
    parts: &[Part {
        name: "plugin",
        file: "/etc/chef/ohai/plugins/koshu.rb",
        comment: Some("#"),
        write: plugin,
    }],
    set_up: &[
        "Put the plugin of koshu export ohai into Ohai's folder: node['koshu'] is the JSON document.",
        "A recipe that must not go on when something is wrong: execute 'koshu run' do returns [0, 1] end. InSpec: describe command('koshu run') do its('exit_status') { should be < 2 } end.",
    ],
    states: "node['koshu']['state'] is 0 to 3, and so is the state of each of node['koshu']['checks'].",
    limits: "None.",
    timeouts: "Ohai's shell_out has 30 s; the exported plugin asks koshu to end after 25 s.",
    security: "Attributes are stored on the Chef server and can be read by whoever may read nodes.",
    proof: "Tried with Ohai 16.13; Chef itself was not run.",
};

fn plugin(order: &Order) -> String {
    let line = order.all(&["--format", "json", "--deadline", "25s"]);
    let line = line.replace('\\', "\\\\").replace('\'', "\\'");
    format!(
        "require 'json'\nOhai.plugin(:Koshu) do\n  provides 'koshu'\n  collect_data(:default) do\n    koshu JSON.parse(shell_out('{line}', returns: [0, 1, 2, 3]).stdout)\n  end\nend\n"
    )
}
