#include <atomic>
#include <chrono>
#include <filesystem>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "adapters/http/client.hpp"
#include "adapters/http/server.hpp"

namespace signalbox::http {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

Response echo(const Request& request) {
    if (request.path == "/missing")
        return error_response(base::Error{base::ErrorKind::NotFound, "there is no such thing", {}, 0});
    if (request.path == "/throws") throw std::runtime_error("boom");
    if (request.path == "/slow") std::this_thread::sleep_for(400ms);
    base::json::object query;
    for (const auto& [key, value] : request.query) query[key] = value;
    return json_response(200, {{"method", request.method},
                               {"path", request.path},
                               {"query", query},
                               {"authorization", request.authorization},
                               {"body", request.body}});
}

std::unique_ptr<Server> start(ServerOptions options) {
    auto server = Server::start(options, echo);
    EXPECT_TRUE(server) << (server ? "" : server.error().text());
    return std::move(*server);
}

std::string socket_path() { return "/tmp/signalbox-http-test-" + std::to_string(::getpid()) + ".sock"; }

TEST(Http, a_request_over_tcp_arrives_decoded_and_its_answer_comes_back) {
    const auto server = start({.listen = "127.0.0.1:0"});
    const Client client("http://" + server->address(), "secret");
    const auto value = client.call("POST", "/a%20b?x=1&y=%2F", {{"k", 1}}, 5s);
    ASSERT_TRUE(value) << value.error().text();
    EXPECT_EQ(value->at("method"), "POST");
    EXPECT_EQ(value->at("path"), "/a b");
    EXPECT_EQ(value->at("query").at("y"), "/");
    EXPECT_EQ(value->at("authorization"), "Bearer secret");
    EXPECT_EQ(value->at("body"), "{\"k\":1}");
}

TEST(Http, a_unix_socket_is_private_and_a_stale_one_is_replaced) {
    const std::string path = socket_path();
    {
        const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        ::close(fd);  // what a killed server leaves
    }
    const auto server = start({.listen = "unix:" + path});
    struct stat file {};
    ASSERT_EQ(::stat(path.c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777, 0600u);
    EXPECT_TRUE(Client("unix:" + path).get("/", 5s));
    const auto second = Server::start({.listen = "unix:" + path}, echo);
    ASSERT_FALSE(second);
    EXPECT_THAT(second.error().text(), HasSubstr("another server listens there"));
}

TEST(Http, an_error_keeps_its_kind_and_message_across_the_wire) {
    const auto server = start({.listen = "127.0.0.1:0"});
    const Client client("http://" + server->address());
    const auto missing = client.get("/missing", 5s);
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().kind, base::ErrorKind::NotFound);
    EXPECT_EQ(missing.error().text(), "there is no such thing");
    const auto reply = client.request("GET", "/throws", "", 5s);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->status, 500u);
}

TEST(Http, nobody_listening_is_unavailable_and_a_silent_server_is_an_unknown_outcome) {
    EXPECT_EQ(Client("unix:/tmp/signalbox-nobody.sock").get("/", 1s).error().kind, base::ErrorKind::Unavailable);
    const auto server = start({.listen = "127.0.0.1:0"});
    const auto late = Client("http://" + server->address()).get("/slow", 50ms);
    ASSERT_FALSE(late);
    EXPECT_EQ(late.error().kind, base::ErrorKind::UnknownOutcome);
}

TEST(Http, a_body_over_the_limit_is_refused_and_the_server_lives_on) {
    const auto server = start({.listen = "127.0.0.1:0", .body_max_bytes = 1000});
    const Client client("http://" + server->address());
    const auto reply = client.request("POST", "/", std::string(5000, 'x'), 5s);
    ASSERT_TRUE(reply) << reply.error().text();
    EXPECT_EQ(reply->status, 413u);
    EXPECT_EQ(client.request("POST", "/", std::string(1000, 'x'), 5s)->status, 200u);
}

TEST(Http, connections_over_the_limit_wait_and_are_served_in_the_end) {
    const auto server = start({.listen = "127.0.0.1:0", .connections_max = 2});
    std::atomic<int> good = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&] { good += Client("http://" + server->address()).get("/slow", 20s).has_value(); });
    for (auto& thread : threads) thread.join();
    EXPECT_EQ(good, 8);
}

TEST(Http, a_slow_handler_does_not_stop_the_others) {
    const auto server = start({.listen = "127.0.0.1:0", .threads = 2});
    std::thread slow([&] { (void)Client("http://" + server->address()).get("/slow", 5s); });
    std::this_thread::sleep_for(50ms);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(Client("http://" + server->address()).get("/", 5s));
    EXPECT_LT(std::chrono::steady_clock::now() - begin, 250ms);
    slow.join();
}

TEST(Http, a_client_that_never_finishes_its_request_is_dropped_at_the_deadline) {
    const auto server = start({.listen = "unix:" + socket_path(), .idle_timeout = 100ms});
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    socket_path().copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::send(fd, "GET / HT", 8, MSG_NOSIGNAL), 8);
    char byte = 0;
    const timeval limit{5, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::recv(fd, &byte, 1, 0), 0);
    ::close(fd);
}

TEST(Http, an_address_that_is_taken_or_wrong_is_an_error_that_names_it) {
    const auto server = start({.listen = "127.0.0.1:0"});
    const auto taken = Server::start({.listen = server->address()}, echo);
    ASSERT_FALSE(taken);
    EXPECT_THAT(taken.error().text(), HasSubstr(server->address()));
    EXPECT_FALSE(Server::start({.listen = "nowhere.example:80"}, echo));
}

}  // namespace
}  // namespace signalbox::http
