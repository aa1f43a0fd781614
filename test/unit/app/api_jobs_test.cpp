// The API's part for jobs and runs.

#include <gmock/gmock.h>

#include "api/api.hpp"

namespace signalbox::app {
namespace {

using testing::HasSubstr;

class FakeJobs final : public api::JobSource {
  public:
    base::json::array jobs() override { return {base::json::object{{"name", "load"}}}; }
    base::Result<base::json::array> runs(const std::string& job, std::size_t limit) override {
        if (job != "load") return base::fail(base::ErrorKind::NotFound, "there is no job '{}'", job);
        asked_limit = limit;
        return base::json::array{base::json::object{{"id", "jr_1"}}};
    }
    base::Result<api::RunStarted> start_run(const api::RunRequest& request) override {
        asked = request;
        if (conflict) return base::fail(base::ErrorKind::Conflict, "the key stands for other arguments");
        return api::RunStarted{{{"id", "jr_1"}}, created};
    }
    base::Result<base::json::object> run(const std::string& id) override {
        if (id != "jr_1") return base::fail(base::ErrorKind::NotFound, "there is no run {}", id);
        return base::json::object{{"id", id}};
    }
    base::Result<base::json::object> stop_run(const std::string& id) override {
        if (id != "jr_1") return base::fail(base::ErrorKind::Conflict, "run {} has ended already", id);
        return base::json::object{{"id", id}, {"stop_requested", true}};
    }
    base::Result<base::json::object> pause_job(const std::string& job, const std::string& reason) override {
        if (job != "load") return base::fail(base::ErrorKind::NotFound, "there is no job '{}'", job);
        paused = reason;
        return base::json::object{{"job", job}, {"reason", reason}};
    }
    base::Result<base::json::object> resume_job(const std::string& job) override {
        if (paused.empty()) return base::fail(base::ErrorKind::Conflict, "job '{}' is not paused", job);
        paused.clear();
        return base::json::object{{"job", job}};
    }
    std::string paused;
    api::RunRequest asked;
    std::size_t asked_limit = 0;
    bool created = true;
    bool conflict = false;
};

class FakeSource final : public api::Source {
  public:
    base::json::object status() override { return {}; }
    std::string metrics() override { return {}; }
    base::Result<std::vector<ports::JournalEntry>> journal(const ports::JournalQuery&) override {
        return std::vector<ports::JournalEntry>();
    }
    base::Result<bool> event(const ports::ExternalEvent&) override { return true; }
    base::Status switchover(const ports::SwitchoverRequest&) override { return {}; }
    api::JobSource* job_source() override { return jobs; }
    api::JobSource* jobs = nullptr;
};

class ApiJobs : public testing::Test {
  protected:
    ApiJobs() { source_.jobs = &jobs_; }
    api::Response call(const std::string& method, const std::string& path, const std::string& body = {},
                       std::map<std::string, std::string> query = {}) {
        return api_.answer({method, path, std::move(query), "Bearer secret", body});
    }
    FakeJobs jobs_;
    FakeSource source_;
    api::Api api_{source_, "secret"};
};

TEST_F(ApiJobs, a_new_run_is_201_and_the_run_of_a_known_key_200) {
    const std::string body = R"({"arguments": {"day": "2026-01-02"}, "idempotency_key": "tuesday"})";
    EXPECT_EQ(call("POST", "/v1/jobs/load/runs", body).status, 201u);
    EXPECT_EQ(jobs_.asked.job, "load");
    EXPECT_EQ(jobs_.asked.key, "tuesday");
    ASSERT_EQ(jobs_.asked.arguments.size(), 1u);
    EXPECT_EQ(jobs_.asked.arguments[0].second, "2026-01-02");
    jobs_.created = false;
    EXPECT_EQ(call("POST", "/v1/jobs/load/runs", body).status, 200u);
    jobs_.conflict = true;
    EXPECT_EQ(call("POST", "/v1/jobs/load/runs", body).status, 409u);
    jobs_ = {};
    EXPECT_EQ(call("POST", "/v1/jobs/load/runs").status, 201u) << "a body is not needed";
}

TEST_F(ApiJobs, a_body_that_is_no_request_starts_nothing) {
    for (const char* body : {"[]", "{", R"({"arguments": []})", R"({"arguments": {"a": 1}})",
                             R"({"arguments": {"": "x"}})", R"({"key": "x"})", R"({"idempotency_key": ""})",
                             R"({"idempotency_key": 3})", R"({"idempotency_key": "a\u0000b"})"}) {
        EXPECT_EQ(call("POST", "/v1/jobs/load/runs", body).status, 400u) << body;
        EXPECT_EQ(jobs_.asked.job, "") << body;
    }
    EXPECT_EQ(call("POST", "/v1/jobs/load/runs", R"({"idempotency_key": ")" + std::string(201, 'k') + "\"}").status,
              400u);
}

TEST_F(ApiJobs, runs_are_read_listed_and_stopped) {
    EXPECT_THAT(call("GET", "/v1/jobs").body, HasSubstr(R"("name":"load")"));
    EXPECT_THAT(call("GET", "/v1/jobs/load/runs", "", {{"limit", "7"}}).body, HasSubstr("jr_1"));
    EXPECT_EQ(jobs_.asked_limit, 7u);
    EXPECT_EQ(call("GET", "/v1/jobs/load/runs", "", {{"limit", "0"}}).status, 400u);
    EXPECT_EQ(call("GET", "/v1/jobs/load/runs", "", {{"since", "1"}}).status, 400u);
    EXPECT_EQ(call("GET", "/v1/jobs/other/runs").status, 404u);
    EXPECT_EQ(call("GET", "/v1/runs/jr_1").status, 200u);
    EXPECT_EQ(call("GET", "/v1/runs/jr_2").status, 404u);
    EXPECT_EQ(call("POST", "/v1/runs/jr_1/stop").status, 202u);
    EXPECT_EQ(call("POST", "/v1/runs/jr_2/stop").status, 409u);
}

TEST_F(ApiJobs, a_job_is_paused_with_a_reason_and_resumed_once) {
    EXPECT_EQ(call("POST", "/v1/jobs/load/pause", R"({"reason": "the disk is full"})").status, 200u);
    EXPECT_EQ(jobs_.paused, "the disk is full");
    for (const char* body : {"", "{}", R"({"reason": " "})", R"({"reason": 1})", R"({"reason": "a\nb"})",
                             R"({"reason": "x", "by": "me"})"})
        EXPECT_EQ(call("POST", "/v1/jobs/load/pause", body).status, 400u) << body;
    EXPECT_EQ(call("POST", "/v1/jobs/other/pause", R"({"reason": "x"})").status, 404u);
    EXPECT_EQ(call("GET", "/v1/jobs/load/pause").status, 405u);
    EXPECT_EQ(call("POST", "/v1/jobs/load/resume").status, 200u);
    EXPECT_EQ(call("POST", "/v1/jobs/load/resume").status, 409u) << "it is not paused any more";
    EXPECT_EQ(call("POST", "/v1/jobs/load/runs", R"({"force": true})").status, 201u);
    EXPECT_TRUE(jobs_.asked.force);
    EXPECT_EQ(call("POST", "/v1/jobs/load/runs", R"({"force": "yes"})").status, 400u);
}

TEST_F(ApiJobs, methods_tokens_and_a_missing_provider_are_told) {
    EXPECT_EQ(call("DELETE", "/v1/jobs/load/runs").status, 405u);
    EXPECT_EQ(call("GET", "/v1/runs/jr_1/stop").status, 405u);
    EXPECT_EQ(call("POST", "/v1/jobs").status, 405u);
    EXPECT_EQ(api_.answer({"GET", "/v1/jobs", {}, "Bearer wrong", {}}).status, 401u);
    EXPECT_EQ(call("GET", "/v1/runs/../jobs").status, 404u);
    source_.jobs = nullptr;
    EXPECT_THAT(call("GET", "/v1/jobs").body, HasSubstr("no provider"));
}

}  // namespace
}  // namespace signalbox::app
