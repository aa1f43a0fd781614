// Webhooks against a server that answers as it likes, and commands.

#include <chrono>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <unistd.h>

#include "adapters/actions/command.hpp"
#include "adapters/actions/message.hpp"
#include "adapters/actions/signature.hpp"
#include "adapters/actions/webhook.hpp"
#include "adapters/http/client.hpp"
#include "base/json.hpp"
#include "unit/actions/scripted_server.hpp"

namespace signalbox::actions {
namespace {

using namespace std::chrono_literals;
using ports::ActionVerdict;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const base::WallTime t0{1'700'000'000s + 900ms};

ports::ActionRequest request() {
    return {
        "act_1", "late", "db.orders", "page", {{"state", "ALARM"}, {"evidence", "no commit for 2h"}, {"id", "another"}},
        false};
}

Webhook webhook(const std::string& url, const std::string& secret = "whsec", base::Duration deadline = 5s) {
    return Webhook({url, secret, "", deadline}, [] { return t0; });
}

TEST(Signature, is_hmac_sha256_over_the_time_a_dot_and_the_body) {
    // As Python's hmac has it.
    EXPECT_EQ(signature_of("whsec", t0, R"({"id":"act_1"})"),
              "t=1700000000,v1=a700c462979834c38aba375b70e990b342a39447627bc1872833539fd000cd9a");
    EXPECT_NE(signature_of("whsec", t0 + 1s, "{}").substr(13), signature_of("whsec", t0, "{}").substr(13))
        << "the time is signed, too";
}

TEST(WebhookAction, posts_the_transition_signed_and_is_done_with_2xx) {
    const ScriptedServer server({ScriptedServer::answer("204 No Content")});
    const auto outcome = webhook(server.url("/hook?to=ops")).run(request());
    ASSERT_TRUE(outcome) << outcome.error().text();
    EXPECT_EQ(outcome->verdict, ActionVerdict::Done) << outcome->text;
    ASSERT_EQ(server.requests().size(), 1u);
    const std::string sent = server.requests()[0];
    EXPECT_THAT(sent, StartsWith("POST /hook?to=ops HTTP/1.1\r\n"));
    EXPECT_EQ(header_of(sent, "X-Signalbox-Id"), "act_1");
    EXPECT_EQ(header_of(sent, "Content-Type"), "application/json");
    EXPECT_EQ(header_of(sent, "X-Signalbox-Signature"), signature_of("whsec", t0, body_of(sent)));
    const auto body = base::parse_json(body_of(sent));
    ASSERT_TRUE(body);
    EXPECT_EQ(body->at("id"), "act_1") << "a transition can't give another id";
    EXPECT_EQ(body->at("table"), "db.orders");
    EXPECT_EQ(body->at("evidence"), "no commit for 2h");
}

TEST(WebhookAction, without_a_secret_nothing_is_signed) {
    const ScriptedServer server({ScriptedServer::answer("200 OK")});
    EXPECT_EQ(webhook(server.url("/"), "").run(request())->verdict, ActionVerdict::Done);
    EXPECT_EQ(header_of(server.requests()[0], "X-Signalbox-Signature"), "");
}

TEST(WebhookAction, a_busy_receiver_is_asked_again_with_the_same_id_and_when_it_says) {
    const ScriptedServer server({ScriptedServer::answer("503 Service Unavailable", "Retry-After: 7\r\n"),
                                 ScriptedServer::answer("429 Too Many Requests"), ScriptedServer::answer("500 Oops"),
                                 ScriptedServer::answer("408 Request Timeout"), ScriptedServer::answer("200 OK")});
    Webhook hook = webhook(server.url("/"));
    const auto first = hook.run(request());
    EXPECT_EQ(first->verdict, ActionVerdict::Retry);
    EXPECT_EQ(first->after, 7s);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(hook.run(request())->verdict, ActionVerdict::Retry) << i;
    EXPECT_EQ(hook.run(request())->verdict, ActionVerdict::Done);
    for (const auto& sent : server.requests()) {
        EXPECT_EQ(header_of(sent, "X-Signalbox-Id"), "act_1");
        EXPECT_EQ(body_of(sent), body_of(server.requests()[0]));
    }
}

TEST(WebhookAction, a_receiver_that_says_no_is_not_asked_again) {
    for (const char* status : {"400 Bad Request", "401 Unauthorized", "404 Not Found", "410 Gone"}) {
        const ScriptedServer server({ScriptedServer::answer(status, "", "no such\nhook")});
        const auto outcome = webhook(server.url("/")).run(request());
        EXPECT_EQ(outcome->verdict, ActionVerdict::Refused) << status;
        EXPECT_THAT(outcome->text, HasSubstr("no such hook"));
    }
}

TEST(WebhookAction, a_redirect_is_not_followed) {
    const ScriptedServer other({ScriptedServer::answer("200 OK")});
    const ScriptedServer server({ScriptedServer::answer("307 Moved", "Location: " + other.url("/") + "\r\n")});
    EXPECT_EQ(webhook(server.url("/")).run(request())->verdict, ActionVerdict::Refused);
    EXPECT_TRUE(other.requests().empty());
}

TEST(WebhookAction, a_silent_receiver_ends_with_the_deadline_and_is_asked_again) {
    const ScriptedServer server({""});
    const auto began = std::chrono::steady_clock::now();
    const auto outcome = webhook(server.url("/"), "whsec", 200ms).run(request());
    EXPECT_EQ(outcome->verdict, ActionVerdict::Retry);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 3s);
    EXPECT_EQ(webhook("http://127.0.0.1:1/").run(request())->verdict, ActionVerdict::Retry) << "nobody listens";
}

TEST(WebhookAction, neither_the_secret_nor_the_path_reaches_a_text) {
    const ScriptedServer server({ScriptedServer::answer("500 Oops")});
    auto dry = request();
    dry.dry_run = true;
    for (const auto& one : {dry, request()}) {
        const auto outcome = webhook(server.url("/services/T0/SECRETPATH"), "SECRETKEY").run(one);
        EXPECT_THAT(outcome->text, Not(HasSubstr("SECRET")));
    }
    EXPECT_EQ(server.requests().size(), 1u) << "a dry run sends nothing";
    const auto unheard = webhook("http://127.0.0.1:1/SECRETPATH", "SECRETKEY").run(request());
    EXPECT_THAT(unheard->text, Not(HasSubstr("SECRET")));
    EXPECT_THAT(webhook("ftp://SECRET/").run(request()).error().text(), Not(HasSubstr("SECRET")));
}

TEST(WebhookAction, an_answer_without_end_is_cut) {
    const ScriptedServer server({"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + std::string(200'000, 'x')});
    EXPECT_EQ(webhook(server.url("/")).run(request())->verdict, ActionVerdict::Retry);
}

TEST(RetryAfter, is_seconds_or_a_date) {
    EXPECT_EQ(http::parse_retry_after("120", t0), base::Duration(120s));
    EXPECT_EQ(http::parse_retry_after("Tue, 14 Nov 2023 22:14:20 GMT", t0), base::Duration(60s - 900ms));
    EXPECT_EQ(http::parse_retry_after("-1", t0), std::nullopt);
    EXPECT_EQ(http::parse_retry_after("soon", t0), std::nullopt);
    EXPECT_EQ(http::parse_retry_after("99999999999999999999", t0), std::nullopt);
}

TEST(SplitUrl, takes_http_urls_and_repeats_none_that_is_wrong) {
    EXPECT_EQ(http::split_url("https://h:1/a?b=c").value(),
              std::pair(std::string("https://h:1"), std::string("/a?b=c")));
    EXPECT_EQ(http::split_url("http://[::1]").value(), std::pair(std::string("http://[::1]"), std::string("/")));
    for (const char* wrong :
         {"", "h/a", "file:///etc/passwd", "http://", "http://u:SECRET@h/", "http://h/#f", "http://h/a b"})
        EXPECT_FALSE(http::split_url(wrong)) << wrong;
    EXPECT_THAT(http::split_url("http://u:SECRET@h/").error().text(), Not(HasSubstr("SECRET")));
}

Command command(const std::string& script, base::Duration deadline = 10s) {
    return Command({{"/bin/sh", "-c", script}, "/tmp", deadline}, [] { return false; });
}

TEST(CommandAction, gets_the_transition_on_its_input_and_in_its_environment) {
    const auto outcome =
        command("read -r line; echo \"$SIGNALBOX_STATE $SIGNALBOX_ACTION_ID $(pwd)\"; echo \"$line\"").run(request());
    ASSERT_TRUE(outcome);
    EXPECT_EQ(outcome->verdict, ActionVerdict::Done) << outcome->text;
    EXPECT_THAT(outcome->text, HasSubstr("ALARM act_1 /tmp"));
    EXPECT_THAT(outcome->text, HasSubstr(R"("evidence":"no commit for 2h")"));
}

TEST(CommandAction, is_run_without_a_shell) {
    const std::string marker = "/tmp/signalbox-action-" + std::to_string(::getpid());
    auto hostile = request();
    hostile.table = "$(touch " + marker + ")";
    const Command harmless({{"/bin/echo", "$SIGNALBOX_TABLE; touch " + marker}, "/tmp", 5s}, [] { return false; });
    EXPECT_EQ(Command(harmless).run(hostile)->verdict, ActionVerdict::Done);
    EXPECT_FALSE(std::filesystem::exists(marker));
}

TEST(CommandAction, that_fails_is_run_again_unless_its_code_says_never) {
    EXPECT_EQ(command("echo disk full >&2; exit 1").run(request())->verdict, ActionVerdict::Retry);
    EXPECT_THAT(command("echo disk full >&2; exit 1").run(request())->text, HasSubstr("it said: disk full"));
    EXPECT_EQ(command("exit 75").run(request())->verdict, ActionVerdict::Retry);
    EXPECT_EQ(command("kill -9 $$").run(request())->verdict, ActionVerdict::Retry);
    EXPECT_EQ(command("exit 64").run(request())->verdict, ActionVerdict::Refused);
    EXPECT_EQ(Command({{"/nonexistent/program"}, "/tmp", 1s}, [] { return false; }).run(request())->verdict,
              ActionVerdict::Retry);
}

TEST(CommandAction, ends_with_its_deadline_and_with_us) {
    const auto began = std::chrono::steady_clock::now();
    EXPECT_THAT(command("sleep 60", 200ms).run(request())->text, HasSubstr("did not end within 200ms"));
    Command stopped({{"/bin/sleep", "60"}, "/tmp", 60s}, [] { return true; });
    EXPECT_EQ(stopped.run(request())->verdict, ActionVerdict::Retry);
    EXPECT_LT(std::chrono::steady_clock::now() - began, 20s);
}

TEST(CommandAction, a_large_input_that_nobody_reads_holds_nothing_up) {
    auto large = request();
    large.transition["evidence"] = std::string(200'000, 'x');
    EXPECT_EQ(command("exit 0").run(large)->verdict, ActionVerdict::Done);
    EXPECT_THAT(command("wc -c").run(large)->text, HasSubstr("2001"));
}

TEST(OneLine, is_cut_between_letters) {
    EXPECT_EQ(one_line(" a\nb\t", 10), "a b");
    EXPECT_EQ(one_line("äöü", 3), "ä…");
}

}  // namespace
}  // namespace signalbox::actions
