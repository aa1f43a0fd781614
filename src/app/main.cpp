// The one program: every command group registers itself here, by hand; nothing registers behind main's back.

#include <CLI/CLI.hpp>
#include <csignal>

#include "app/cmd_alarm.hpp"
#include "app/cmd_channel.hpp"
#include "app/cmd_cluster.hpp"
#include "app/cmd_job.hpp"
#include "app/cmd_journal.hpp"
#include "app/cmd_lab.hpp"
#include "app/cmd_measure.hpp"
#include "app/cmd_network.hpp"
#include "app/cmd_serve.hpp"
#include "app/cmd_spark_node.hpp"
#include "app/cmd_supervise.hpp"
#include "app/cmd_table.hpp"
#include "app/report.hpp"

int main(int argc, char** argv) {
    // A peer that closes its end is an ordinary error of a write, not a reason to die.
    std::signal(SIGPIPE, SIG_IGN);
    CLI::App app{
        "Signalbox keeps data pipelines running through failovers: it chooses a live network path, follows the "
        "database writer, measures what a failover cost, and watches that the data keeps arriving.",
        "signalbox"};
    app.set_version_flag("--version", "signalbox " SIGNALBOX_VERSION);
    app.require_subcommand(1);
    app.failure_message(CLI::FailureMessage::help);
    int exit_status = 0;
    using namespace signalbox::app;
    register_serve(app, exit_status);
    register_cluster(app, exit_status);
    register_channel(app, exit_status);
    register_journal(app, exit_status);
    register_measure(app, exit_status);
    register_job(app, exit_status);
    register_network(app, exit_status);
    register_supervise(app, exit_status);
    register_spark_node(app, exit_status);
    register_table(app, exit_status);
    register_alarm(app, exit_status);
    register_lab(app, exit_status);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        // Help and version end well; everything else is a usage error, which has an exit code of its own.
        const bool asked_for = error.get_exit_code() == 0;
        if (asked_for) return app.exit(error);
        std::fprintf(stderr, "signalbox: %s\n", error.what());
        std::fprintf(stderr, "Run with --help for more information.\n");
        return 2;
    }
    return exit_status;
}
