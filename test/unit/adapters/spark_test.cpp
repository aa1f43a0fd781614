#include <filesystem>
#include <gmock/gmock.h>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/spark/commands.hpp"
#include "adapters/spark/node_spec.hpp"
#include "adapters/spark/spark_launcher.hpp"

namespace signalbox::spark {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::Pair;

jobs::SparkApplication application() {
    jobs::SparkApplication spark;
    spark.application = "/jobs/load.py";
    spark.arguments = {"--day", "2026-01-02; rm -rf $HOME"};
    spark.python = "/usr/bin/python3";
    spark.conf = {{"spark.hadoop.fs.s3a.secret.key", "hunter2"}};
    spark.worker_cores = 2;
    spark.worker_memory_mib = 700;
    return spark;
}

const Cluster cluster{"spark://10.0.1.7:7077", "deadbeef"};

std::map<std::string, std::string> as_map(const Properties& properties) {
    return {properties.begin(), properties.end()};
}

TEST(SparkCommands, the_driver_is_bound_to_its_own_address_and_waits_for_the_workers_it_was_promised) {
    const auto properties = as_map(driver_properties(application(), {0, 4, "10.0.1.7"}, cluster));
    EXPECT_THAT(properties, Contains(Pair("spark.master", "spark://10.0.1.7:7077")));
    EXPECT_THAT(properties, Contains(Pair("spark.submit.deployMode", "client")));
    EXPECT_THAT(properties, Contains(Pair("spark.driver.host", "10.0.1.7")));
    EXPECT_THAT(properties, Contains(Pair("spark.driver.bindAddress", "10.0.1.7")));
    EXPECT_THAT(properties, Contains(Pair("spark.ui.enabled", "false")));
    EXPECT_THAT(properties, Contains(Pair("spark.cores.max", "6")));
    EXPECT_THAT(properties, Contains(Pair("spark.executor.memory", "700m")));
    EXPECT_THAT(properties, Contains(Pair("spark.scheduler.minRegisteredResourcesRatio", "1.0")));
    EXPECT_THAT(properties, Contains(Pair("spark.scheduler.maxRegisteredResourcesWaitingTime", "60s")));
    EXPECT_THAT(properties, Contains(Pair("spark.authenticate", "true")));
    EXPECT_THAT(properties, Contains(Pair("spark.authenticate.secret", "deadbeef")));
}

TEST(SparkCommands, what_is_configured_goes_over_the_defaults_but_not_over_the_run) {
    auto spark = application();
    spark.conf = {{"spark.executor.memory", "600m"}, {"spark.ui.enabled", "true"}, {"spark.driver.host", "0.0.0.0"}};
    const auto properties = as_map(driver_properties(spark, {0, 4, "10.0.1.7"}, cluster));
    EXPECT_EQ(properties.at("spark.executor.memory"), "600m");
    EXPECT_EQ(properties.at("spark.ui.enabled"), "true");
    EXPECT_EQ(properties.at("spark.driver.host"), "10.0.1.7");
    EXPECT_TRUE(is_reserved("spark.master"));
    EXPECT_FALSE(is_reserved("spark.executor.memory"));
}

TEST(SparkCommands, a_run_of_one_node_needs_no_cluster) {
    const auto properties = as_map(driver_properties(application(), {0, 1, "10.0.1.7"}, {}));
    EXPECT_EQ(properties.at("spark.master"), "local[*]");
    for (const char* key : {"spark.cores.max", "spark.authenticate", "spark.scheduler.minRegisteredResourcesRatio"})
        EXPECT_FALSE(properties.contains(key)) << key;
}

TEST(SparkCommands, commands_are_words_and_hold_no_secret) {
    const auto spark = application();
    EXPECT_THAT(driver_command(spark, "/opt/spark", "/run/p.conf"),
                ElementsAre("/opt/spark/bin/spark-submit", "--properties-file", "/run/p.conf", "/jobs/load.py", "--day",
                            "2026-01-02; rm -rf $HOME"));
    EXPECT_THAT(master_command({0, 4, "10.0.1.7"}, 7077, "/opt/spark", "/run/p.conf"),
                ElementsAre("/opt/spark/bin/spark-class", "org.apache.spark.deploy.master.Master", "--properties-file",
                            "/run/p.conf", "--host", "10.0.1.7", "--port", "7077", "--webui-port", "0"));
    const auto worker = worker_command(spark, {2, 4, "10.0.1.9"}, cluster, "/opt/spark", "/run/p.conf", "/run/work");
    EXPECT_THAT(worker,
                ElementsAre("/opt/spark/bin/spark-class", "org.apache.spark.deploy.worker.Worker", "--properties-file",
                            "/run/p.conf", "--host", "10.0.1.9", "--port", "0", "--webui-port", "0", "--cores", "2",
                            "--memory", "700m", "--work-dir", "/run/work", "spark://10.0.1.7:7077"));
    EXPECT_THAT(as_map(daemon_properties(cluster)), Contains(Pair("spark.authenticate.secret", "deadbeef")));
    EXPECT_THAT(environment(spark, {2, 4, "10.0.1.9"}, "/opt/spark", "/run/scratch"),
                testing::IsSupersetOf({Pair("SPARK_LOCAL_IP", "10.0.1.9"), Pair("PYSPARK_PYTHON", "/usr/bin/python3"),
                                       Pair("SPARK_HOME", "/opt/spark"), Pair("SPARK_LOCAL_DIRS", "/run/scratch")}));
}

TEST(SparkCommands, a_value_can_not_become_another_property) {
    EXPECT_EQ(properties_text({{"spark.a", "plain"}}), "spark.a=plain\n");
    EXPECT_EQ(properties_text({{"spark.a", "x\nspark.master=local"}}), "spark.a=x\\u000aspark.master\\u003dlocal\n");
    EXPECT_EQ(properties_text({{"spark.a", " b\\c#!:"}}), "spark.a=\\u0020b\\u005cc\\u0023\\u0021\\u003a\n");
    EXPECT_EQ(properties_text({{"spark.a", "é€😀"}}), "spark.a=\\u00e9\\u20ac\\ud83d\\ude00\n");
    EXPECT_EQ(properties_text({{"spark.a", "\xe2\x82"}}), "spark.a=\\u0082\n") << "a cut character ends with the value";
}

// Remembers what it was given.
class Inner final : public ports::RunLauncher {
  public:
    explicit Inner(std::vector<ports::NodeLaunch>& launched) : launched_(launched) {}
    jobs::LaunchResult launch(const ports::NodeLaunch& node) override {
        launched_.push_back(node);
        return {jobs::LaunchResult::Kind::Started, {}, {}};
    }
    base::Result<std::vector<jobs::NodeProcess>> list(const jobs::Run&) override {
        return std::vector<jobs::NodeProcess>(1);
    }
    base::Result<std::vector<jobs::NodeProcess>> list_all() override { return std::vector<jobs::NodeProcess>(2); }
    base::Status stop(const std::vector<std::string>& processes, base::Duration) override {
        return base::fail(base::ErrorKind::Timeout, "{}", processes.at(0));
    }

  private:
    std::vector<ports::NodeLaunch>& launched_;
};

class SparkNodes : public testing::Test {
  protected:
    SparkNodes() {
        std::string pattern = "/tmp/signalbox-spark-XXXXXX";
        folder_ = ::mkdtemp(pattern.data());
        node_.token = "jr_1-2";
        node_.rank = 2;
        node_.size = 3;
        node_.run_directory = folder_;
        node_.command = {"/bin/true"};
    }
    ~SparkNodes() override { std::filesystem::remove_all(folder_); }

    std::string folder_;
    ports::NodeLaunch node_;
    std::vector<ports::NodeLaunch> launched_;
    SparkLauncher launcher_{std::make_unique<Inner>(launched_), "/usr/bin/signalbox"};
};

TEST_F(SparkNodes, a_spark_node_runs_its_part_and_its_configuration_stays_in_a_file_of_its_owner) {
    node_.command.clear();
    node_.spark = application();
    EXPECT_EQ(launcher_.launch(node_).kind, jobs::LaunchResult::Kind::Started);
    ASSERT_EQ(launched_.size(), 1U);
    EXPECT_THAT(launched_[0].command,
                ElementsAre("/usr/bin/signalbox", "spark-node", "--directory", folder_, "--rank", "2"));
    EXPECT_FALSE(launched_[0].spark);
    EXPECT_EQ(launched_[0].token, "jr_1-2");
    const auto spec = read_spec(folder_, 2);
    ASSERT_TRUE(spec) << spec.error().text();
    EXPECT_EQ(spec->application, application());
    EXPECT_EQ(spec->size, 3);
    EXPECT_EQ(spec->driver_token, "jr_1-0");
    struct stat status {};
    ASSERT_EQ(::stat((folder_ + "/rank-2.spark").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(SparkNodes, everything_else_is_passed_on) {
    EXPECT_EQ(launcher_.launch(node_).kind, jobs::LaunchResult::Kind::Started);
    EXPECT_THAT(launched_.at(0).command, ElementsAre("/bin/true"));
    EXPECT_EQ(launcher_.list({})->size(), 1U);
    EXPECT_EQ(launcher_.list_all()->size(), 2U);
    EXPECT_EQ(launcher_.stop({"p-1"}, {}).error().message, "p-1");
}

TEST_F(SparkNodes, a_part_that_can_not_be_written_or_named_starts_nothing) {
    node_.spark = application();
    node_.run_directory = folder_ + "/missing";
    EXPECT_EQ(launcher_.launch(node_).kind, jobs::LaunchResult::Kind::Refused);
    node_.run_directory = folder_;
    node_.token = "jr_1-1";
    EXPECT_EQ(launcher_.launch(node_).kind, jobs::LaunchResult::Kind::Invalid);
    EXPECT_TRUE(launched_.empty());
}

TEST_F(SparkNodes, a_worker_takes_only_the_cluster_of_its_own_driver) {
    EXPECT_FALSE(read_cluster(folder_, "jr_1-0").value()) << "there is none yet";
    ASSERT_TRUE(write_cluster(folder_, "jr_1-0", cluster));
    EXPECT_EQ(read_cluster(folder_, "jr_1-0").value()->master, cluster.master);
    EXPECT_FALSE(read_cluster(folder_, "jr_1_attempt_1-0").value()) << "of another attempt";
    ASSERT_TRUE(write_cluster(folder_, "jr_1-0", {"", "x"}));
    EXPECT_FALSE(read_cluster(folder_, "jr_1-0"));
}

}  // namespace
}  // namespace signalbox::spark
