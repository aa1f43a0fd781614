#include "adapters/catalogs/rest_session.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace signalbox::catalogs {
namespace {

using namespace std::chrono_literals;
using base::ErrorKind;
using ::testing::HasSubstr;

http::Reply reply(unsigned status, const std::string& body, std::map<std::string, std::string> headers = {}) {
    return {status, body, std::move(headers)};
}

std::string model(const std::string& type) {
    return R"({"error": {"message": "why", "type": ")" + type + R"(", "code": 404}})";
}

TEST(RestSession, encodes_what_could_end_a_path) {
    EXPECT_EQ(percent_encoded("a b/c%?#\x1f"
                              "é~"),
              "a%20b%2Fc%25%3F%23%1F%C3%A9~");
}

TEST(RestSession, reads_retry_after_as_seconds_and_as_a_date) {
    const base::WallTime now = *base::parse_time("2026-01-02T03:04:05Z");
    EXPECT_EQ(retry_after("7", now), 7s);
    EXPECT_EQ(retry_after("999999999999", now), 1h);
    EXPECT_EQ(retry_after("Fri, 02 Jan 2026 03:05:05 GMT", now), 60s);
    EXPECT_EQ(retry_after("Fri, 02 Jan 2026 03:00:00 GMT", now), 0s);
    EXPECT_EQ(retry_after("soon", now), std::nullopt);
}

TEST(RestSession, only_the_catalogs_own_word_means_that_a_table_is_gone) {
    EXPECT_EQ(refusal(reply(404, model("NoSuchTableException"))).kind, ErrorKind::NotFound);
    EXPECT_EQ(refusal(reply(404, model("NoSuchNamespaceException"))).kind, ErrorKind::NotFound);
    EXPECT_EQ(refusal(reply(404, model("NoSuchWarehouseException"))).kind, ErrorKind::Unavailable);
    EXPECT_EQ(refusal(reply(404, "<html>nginx</html>")).kind, ErrorKind::Unavailable);
    EXPECT_EQ(refusal(reply(404, "{}")).kind, ErrorKind::Unavailable);
}

TEST(RestSession, says_what_a_refusal_means_and_quotes_the_server_in_one_line) {
    EXPECT_EQ(refusal(reply(401, "")).kind, ErrorKind::PermissionDenied);
    EXPECT_EQ(refusal(reply(403, "")).kind, ErrorKind::PermissionDenied);
    EXPECT_EQ(refusal(reply(406, "")).kind, ErrorKind::NotSupported);
    EXPECT_EQ(refusal(reply(500, "garbage")).kind, ErrorKind::Unavailable);
    EXPECT_EQ(refusal(reply(429, "")).code, 429);
    const auto moved = refusal(reply(307, "", {{"location", "http://elsewhere/"}}));
    EXPECT_THAT(moved.text(), HasSubstr("redirects to 'http://elsewhere/', which is not followed"));
    const auto noisy = refusal(reply(500, R"({"error": {"message": "a\nb", "type": "T"}})"));
    EXPECT_THAT(noisy.text(), HasSubstr("HTTP status 500, T: a b"));
}

}  // namespace
}  // namespace signalbox::catalogs
