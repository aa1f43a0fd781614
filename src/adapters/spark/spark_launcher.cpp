#include "adapters/spark/spark_launcher.hpp"

#include "adapters/spark/node_spec.hpp"

namespace signalbox::spark {

jobs::LaunchResult SparkLauncher::launch(const ports::NodeLaunch& node) {
    using Kind = jobs::LaunchResult::Kind;
    if (!node.spark) return nodes_->launch(node);
    const std::string ending = fmt::format("-{}", node.rank);
    if (!node.token.ends_with(ending))
        return {Kind::Invalid, {}, fmt::format("the token '{}' does not end with the node's rank", node.token)};
    const std::string driver_token = node.token.substr(0, node.token.size() - ending.size()) + "-0";
    if (const auto status = write_spec(node.run_directory, node.rank, {*node.spark, node.size, driver_token}); !status)
        return {Kind::Refused, {}, status.error().text()};
    ports::NodeLaunch launch = node;
    launch.spark.reset();
    launch.command = {program_, "spark-node", "--directory", node.run_directory, "--rank", std::to_string(node.rank)};
    return nodes_->launch(launch);
}

}  // namespace signalbox::spark
