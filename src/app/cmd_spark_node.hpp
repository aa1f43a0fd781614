#pragma once
// `signalbox spark-node`: one node's part in a Spark run. Not for people; launchers run it on the node.

#include <CLI/CLI.hpp>

namespace signalbox::app {

void register_spark_node(CLI::App& app, int& exit_status);

}  // namespace signalbox::app
