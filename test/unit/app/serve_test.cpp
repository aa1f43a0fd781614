// The daemon's parts that need no database: token and lock.

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/serve_token.hpp"

namespace signalbox::app {
namespace {

using testing::HasSubstr;

class FolderTest : public testing::Test {
  protected:
    FolderTest() { std::filesystem::create_directories(folder_); }
    ~FolderTest() override { std::filesystem::remove_all(folder_); }
    const std::string folder_ = "/tmp/signalbox-serve-test-" + std::to_string(::getpid());
};

using TokenTest = FolderTest;
using StoreLockTest = FolderTest;

TEST_F(TokenTest, is_made_once_for_the_user_alone_and_kept) {
    const auto token = load_or_make_token(folder_ + "/t");
    ASSERT_TRUE(token) << token.error().text();
    EXPECT_EQ(token->size(), 64U);
    struct stat file {};
    ASSERT_EQ(::stat((folder_ + "/t").c_str(), &file), 0);
    EXPECT_EQ(file.st_mode & 0777U, 0600U);
    EXPECT_EQ(load_or_make_token(folder_ + "/t").value(), *token);
    EXPECT_NE(load_or_make_token(folder_ + "/u").value(), *token);
}

TEST_F(TokenTest, a_file_that_others_can_read_or_that_is_too_short_is_refused) {
    std::ofstream(folder_ + "/t") << std::string(64, 'a');
    ::chmod((folder_ + "/t").c_str(), 0644);
    EXPECT_THAT(load_or_make_token(folder_ + "/t").error().text(), HasSubstr("mode 0600"));
    ::chmod((folder_ + "/t").c_str(), 0600);
    EXPECT_TRUE(load_or_make_token(folder_ + "/t"));
    std::ofstream(folder_ + "/t") << "short";
    EXPECT_THAT(load_or_make_token(folder_ + "/t").error().text(), HasSubstr("at least 32 characters, found 5"));
    EXPECT_THAT(load_or_make_token(folder_ + "/no/t").error().text(), HasSubstr("No such file"));
}

TEST_F(StoreLockTest, a_second_holder_is_refused_until_the_first_is_gone) {
    {
        const auto first = StoreLock::take(folder_ + "/s.db");
        ASSERT_TRUE(first);
        const auto second = StoreLock::take(folder_ + "/s.db");
        ASSERT_FALSE(second);
        EXPECT_EQ(second.error().kind, base::ErrorKind::Conflict);
        EXPECT_THAT(second.error().text(), HasSubstr("process " + std::to_string(::getpid())));
    }
    EXPECT_TRUE(StoreLock::take(folder_ + "/s.db"));
}

}  // namespace
}  // namespace signalbox::app
