#include "adapters/spark/node_spec.hpp"

#include "adapters/process/supervisor_files.hpp"
#include "base/json.hpp"
#include "base/text.hpp"
#include "domain/jobs/spark_json.hpp"

namespace signalbox::spark {
namespace {

using base::ErrorKind;
using base::fail;
namespace json = base::json;

constexpr std::uint64_t file_max_bytes = 4 << 20;
constexpr mode_t owner_alone = 0600;

std::string spec_path(const std::string& run_directory, int rank) {
    return fmt::format("{}/rank-{}.spark", run_directory, rank);
}

std::string text_of(const json::object& object, const char* key) {
    const json::value* value = object.if_contains(key);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : std::string();
}

base::Result<json::object> read_object(const std::string& path) {
    SB_TRY(const std::string text, base::read_file(path, file_max_bytes));
    auto value = base::parse_json(text);
    if (!value || !value->is_object()) return fail(ErrorKind::CorruptData, "{}: expected a JSON object", path);
    return std::move(value->get_object());
}

}  // namespace

base::Status write_spec(const std::string& run_directory, int rank, const NodeSpec& spec) {
    const json::object object = {{"spark", jobs::spark_to_json(spec.application, jobs::Secrets::Included)},
                                 {"size", spec.size},
                                 {"driver_token", spec.driver_token}};
    return process::write_whole(spec_path(run_directory, rank), base::pretty_json(object) + "\n", owner_alone);
}

base::Result<NodeSpec> read_spec(const std::string& run_directory, int rank) {
    const std::string path = spec_path(run_directory, rank);
    SB_TRY(const json::object object, read_object(path));
    const json::value* spark = object.if_contains("spark");
    const json::value* size = object.if_contains("size");
    NodeSpec spec;
    spec.driver_token = text_of(object, "driver_token");
    if (spark == nullptr || size == nullptr || !size->is_int64() || spec.driver_token.empty())
        return fail(ErrorKind::CorruptData, "{}: expected 'spark', 'size' and 'driver_token'", path);
    spec.size = static_cast<int>(size->get_int64());
    auto application = jobs::parse_spark(*spark);
    if (!application) return base::in_context(application.error(), path);
    if (!*application) return fail(ErrorKind::CorruptData, "{}: there is no Spark application in it", path);
    spec.application = std::move(**application);
    return spec;
}

std::string cluster_path(const std::string& run_directory) { return run_directory + "/spark-cluster"; }

base::Status write_cluster(const std::string& run_directory, const std::string& driver_token, const Cluster& cluster) {
    const json::object object = {
        {"driver_token", driver_token}, {"master", cluster.master}, {"secret", cluster.secret}};
    return process::write_whole(cluster_path(run_directory), base::pretty_json(object) + "\n", owner_alone);
}

base::Result<std::optional<Cluster>> read_cluster(const std::string& run_directory, const std::string& driver_token) {
    const std::string path = cluster_path(run_directory);
    const auto object = read_object(path);
    if (!object && object.error().kind == ErrorKind::NotFound) return std::optional<Cluster>();
    if (!object) return tl::unexpected<base::Error>(object.error());
    if (text_of(*object, "driver_token") != driver_token) return std::optional<Cluster>();
    Cluster cluster{text_of(*object, "master"), text_of(*object, "secret")};
    if (cluster.master.empty() || cluster.secret.empty())
        return fail(ErrorKind::CorruptData, "{}: expected 'master' and 'secret'", path);
    return std::optional(std::move(cluster));
}

}  // namespace signalbox::spark
