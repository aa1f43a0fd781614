#include "app/cmd_spark_node.hpp"

#include <cstdlib>
#include <memory>
#include <string>

#include "adapters/spark/node.hpp"
#include "app/report.hpp"

namespace signalbox::app {
namespace {

struct Options {
    std::string directory;
    int rank = 0;
};

// As sysexits has them, so that what no retry would mend is seen as such.
constexpr int no_input = 66;
constexpr int unavailable = 69;
constexpr int misconfigured = 78;

int exit_code_of(base::ErrorKind kind) {
    switch (kind) {
        case base::ErrorKind::NotFound:
            return no_input;
        case base::ErrorKind::InvalidConfig:
        case base::ErrorKind::CorruptData:
            return misconfigured;
        default:
            return unavailable;
    }
}

}  // namespace

void register_spark_node(CLI::App& app, int& exit_status) {
    auto options = std::make_shared<Options>();
    auto* command = app.add_subcommand("spark-node", "Take one node's part in a Spark run");
    // For launchers, not for people: left out of the list of commands.
    command->group("");
    command->add_option("--directory", options->directory, "The run's folder")->required();
    command->add_option("--rank", options->rank, "The node's number; 0 is the driver")->required();
    command->callback([options, &exit_status] {
        const char* address = std::getenv("SIGNALBOX_NODE_ADDRESS");
        const auto code = spark::run_node(options->directory, options->rank, address != nullptr ? address : "");
        if (!code) report(code.error());
        exit_status = code ? *code : exit_code_of(code.error().kind);
    });
}

}  // namespace signalbox::app
