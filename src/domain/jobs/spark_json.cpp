#include "domain/jobs/spark_json.hpp"

namespace signalbox::jobs {
namespace {

namespace json = base::json;

// Reads fields, and remembers the first that is missing or wrong.
struct SparkFields {
    const json::object& object;
    std::string wrong;

    const json::value* get(const char* key) {
        const json::value* value = object.if_contains(key);
        if (value == nullptr) fault(key);
        return value;
    }
    void fault(const char* key) {
        if (wrong.empty()) wrong = key;
    }
    std::string text(const char* key) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_string()) return std::string(value->get_string());
        fault(key);
        return {};
    }
    int number(const char* key) {
        const json::value* value = get(key);
        if (value != nullptr && value->is_int64()) return static_cast<int>(value->get_int64());
        fault(key);
        return 0;
    }
    const json::array& array(const char* key) {
        static const json::array none;
        const json::value* value = get(key);
        if (value != nullptr && value->is_array()) return value->get_array();
        fault(key);
        return none;
    }
};

}  // namespace

json::value spark_to_json(const std::optional<SparkApplication>& spark, SparkConf conf) {
    if (!spark) return nullptr;
    json::array arguments, pairs;
    for (const std::string& argument : spark->arguments) arguments.push_back(json::value(argument));
    json::object object = {{"application", spark->application},
                           {"arguments", std::move(arguments)},
                           {"home", spark->home},
                           {"python", spark->python},
                           {"worker_cores", spark->worker_cores},
                           {"worker_memory_mib", spark->worker_memory_mib}};
    if (conf == SparkConf::Whole) {
        for (const auto& [key, value] : spark->conf) pairs.push_back(json::array{key, value});
        object["conf"] = std::move(pairs);
    }
    return object;
}

base::Result<std::optional<SparkApplication>> spark_from_json(const json::value& value) {
    if (value.is_null()) return std::optional<SparkApplication>();
    if (!value.is_object())
        return base::fail(base::ErrorKind::CorruptData, "the stored 'spark' is no Spark application");
    SparkFields fields{value.get_object(), {}};
    SparkApplication spark;
    spark.application = fields.text("application");
    for (const json::value& word : fields.array("arguments")) {
        if (word.is_string()) spark.arguments.emplace_back(word.get_string());
        if (!word.is_string()) fields.fault("arguments");
    }
    spark.home = fields.text("home");
    spark.python = fields.text("python");
    for (const json::value& element : fields.array("conf")) {
        const json::array* pair = element.if_array();
        if (pair != nullptr && pair->size() == 2 && (*pair)[0].is_string() && (*pair)[1].is_string()) {
            spark.conf.emplace_back((*pair)[0].get_string(), (*pair)[1].get_string());
        } else {
            fields.fault("conf");
        }
    }
    spark.worker_cores = fields.number("worker_cores");
    spark.worker_memory_mib = fields.number("worker_memory_mib");
    if (!fields.wrong.empty())
        return base::fail(base::ErrorKind::CorruptData, "the stored Spark application has no valid '{}'", fields.wrong);
    return std::optional(std::move(spark));
}

}  // namespace signalbox::jobs
