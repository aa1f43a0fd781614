#include "adapters/spark/commands.hpp"

#include <algorithm>
#include <array>
#include <map>

namespace signalbox::spark {
namespace {

constexpr std::array<const char*, 7> reserved = {"spark.master",
                                                 "spark.submit.deployMode",
                                                 "spark.driver.host",
                                                 "spark.driver.bindAddress",
                                                 "spark.authenticate",
                                                 "spark.authenticate.secret",
                                                 "spark.authenticate.secret.file"};

std::string spark_class(const std::string& home) { return home + "/bin/spark-class"; }

std::string mebibytes(int count) { return fmt::format("{}m", count); }

// In java.util.Properties a backslash escapes, leading blanks of a value go, and every other character stands for
// itself once it is escaped. Bytes beyond ASCII are read as Latin-1 there, so they are given by their UTF-16 units.
std::string escaped(const std::string& text) {
    std::string out;
    for (std::size_t i = 0; i < text.size();) {
        const auto byte = static_cast<unsigned char>(text[i]);
        if (byte < 0x80) {
            ++i;
            const bool plain =
                byte > ' ' && byte < 0x7f && std::string_view("\\:=#!").find(text[i - 1]) == std::string::npos;
            out += plain ? std::string(1, text[i - 1]) : fmt::format("\\u{:04x}", byte);
            continue;
        }
        const std::size_t length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
        std::uint32_t code = byte & (0xffU >> (length + 1));
        for (std::size_t k = 1; k < length && i + k < text.size(); ++k)
            code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3fU);
        i += length;
        if (code >= 0x10000) {
            code -= 0x10000;
            out += fmt::format("\\u{:04x}\\u{:04x}", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ffU));
        } else {
            out += fmt::format("\\u{:04x}", code);
        }
    }
    return out;
}

void authenticate(std::map<std::string, std::string>& properties, const Cluster& cluster) {
    properties["spark.authenticate"] = "true";
    properties["spark.authenticate.secret"] = cluster.secret;
}

}  // namespace

bool is_reserved(const std::string& property) {
    return std::find(reserved.begin(), reserved.end(), property) != reserved.end();
}

Properties driver_properties(const jobs::SparkApplication& application, const Role& role, const Cluster& cluster) {
    std::map<std::string, std::string> properties = {{"spark.ui.enabled", "false"}};
    const int workers = role.size - 1;
    if (workers > 0) {
        properties["spark.executor.memory"] = mebibytes(application.worker_memory_mib);
        // The driver begins when all workers that it was promised are there. Spark counts cores for that, against the
        // most that the application may have.
        properties["spark.cores.max"] = std::to_string(workers * application.worker_cores);
        properties["spark.scheduler.minRegisteredResourcesRatio"] = "1.0";
        properties["spark.scheduler.maxRegisteredResourcesWaitingTime"] = "60s";
    }
    for (const auto& [key, value] : application.conf) properties[key] = value;
    properties["spark.submit.deployMode"] = "client";
    properties["spark.driver.host"] = role.address;
    properties["spark.driver.bindAddress"] = role.address;
    properties["spark.master"] = workers > 0 ? cluster.master : "local[*]";
    if (workers > 0) authenticate(properties, cluster);
    return {properties.begin(), properties.end()};
}

Properties daemon_properties(const Cluster& cluster) {
    std::map<std::string, std::string> properties = {
        {"spark.ui.killEnabled", "false"}, {"spark.port.maxRetries", "0"}, {"spark.master.rest.enabled", "false"}};
    authenticate(properties, cluster);
    return {properties.begin(), properties.end()};
}

std::string properties_text(const Properties& properties) {
    std::string text;
    for (const auto& [key, value] : properties) text += fmt::format("{}={}\n", escaped(key), escaped(value));
    return text;
}

std::vector<std::string> driver_command(const jobs::SparkApplication& application, const std::string& home,
                                        const std::string& properties) {
    std::vector<std::string> command = {home + "/bin/spark-submit", "--properties-file", properties,
                                        application.application};
    command.insert(command.end(), application.arguments.begin(), application.arguments.end());
    return command;
}

std::vector<std::string> master_command(const Role& role, std::uint16_t port, const std::string& home,
                                        const std::string& properties) {
    return {spark_class(home),
            "org.apache.spark.deploy.master.Master",
            "--properties-file",
            properties,
            "--host",
            role.address,
            "--port",
            std::to_string(port),
            "--webui-port",
            "0"};
}

std::vector<std::string> worker_command(const jobs::SparkApplication& application, const Role& role,
                                        const Cluster& cluster, const std::string& home, const std::string& properties,
                                        const std::string& work) {
    return {spark_class(home),
            "org.apache.spark.deploy.worker.Worker",
            "--properties-file",
            properties,
            "--host",
            role.address,
            "--port",
            "0",
            "--webui-port",
            "0",
            "--cores",
            std::to_string(application.worker_cores),
            "--memory",
            mebibytes(application.worker_memory_mib),
            "--work-dir",
            work,
            cluster.master};
}

std::vector<std::pair<std::string, std::string>> environment(const jobs::SparkApplication& application,
                                                             const Role& role, const std::string& home,
                                                             const std::string& scratch) {
    std::vector<std::pair<std::string, std::string>> variables = {{"SPARK_HOME", home},
                                                                  // Also where the daemons' web pages listen.
                                                                  {"SPARK_LOCAL_IP", role.address},
                                                                  {"SPARK_LOCAL_DIRS", scratch},
                                                                  {"SPARK_DAEMON_MEMORY", "512m"}};
    if (!application.python.empty()) variables.emplace_back("PYSPARK_PYTHON", application.python);
    return variables;
}

}  // namespace signalbox::spark
