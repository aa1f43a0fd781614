#include "domain/lake/partition.hpp"

#include <gmock/gmock.h>

namespace signalbox::lake {
namespace {

PartitionSpec one_field(std::string transform, std::string type) {
    return {0, {{1000, 1, "p", std::move(transform), std::move(type)}}};
}

template <typename T>
std::string name_of(T value, const PartitionSpec& spec) {
    std::vector<PartitionValue> values(1);
    values[0].field_id = 1000;
    values[0].value = value;
    std::string key;
    partition_key(values, key);
    return partition_name(key, spec);
}

TEST(Partition, names_are_what_people_write) {
    const auto integer = [](std::int64_t value, const char* transform, const char* type) {
        return name_of(value, one_field(transform, type));
    };
    EXPECT_EQ(integer(20000, "day", "timestamp"), "p=2024-10-04");
    EXPECT_EQ(integer(-1, "identity", "date"), "p=1969-12-31");
    EXPECT_EQ(integer(54, "year", "date"), "p=2024");
    EXPECT_EQ(integer(-1, "month", "date"), "p=1969-12");
    EXPECT_EQ(integer(648, "month", "date"), "p=2024-01");
    EXPECT_EQ(integer(-1, "hour", "timestamp"), "p=1969-12-31-23");
    EXPECT_EQ(integer(1'500'000, "identity", "timestamptz"), "p=1970-01-01T00:00:01.500000");
    EXPECT_EQ(integer(61'000'000, "identity", "time"), "p=00:01:01");
    EXPECT_EQ(integer(7, "bucket[16]", "string"), "p=7");
    EXPECT_EQ(integer(INT64_MIN, "day", "date"), "p=-9223372036854775808");
    EXPECT_EQ(integer(INT64_MAX, "hour", "timestamp").substr(0, 2), "p=");
    EXPECT_EQ(name_of(true, one_field("identity", "boolean")), "p=true");
    EXPECT_EQ(name_of(0.5, one_field("identity", "double")), "p=0.5");
    const auto text = [](std::string_view value, const char* transform, const char* type) {
        return name_of(value, one_field(transform, type));
    };
    EXPECT_EQ(text("a/b=c%\n", "identity", "string"), "p=a%2Fb%3Dc%25%0A");
    EXPECT_EQ(text("null", "identity", "string"), "p=%6Eull");
    EXPECT_EQ(text("\xff", "identity", "string"), "p=ff");
    EXPECT_EQ(text("\x01\x00", "identity", "binary"), "p=01");
    EXPECT_EQ(text(std::string_view("\xff\x38", 2), "identity", "decimal(9, 2)"), "p=-2.00");
    EXPECT_EQ(text("\x05", "identity", "decimal(9,2)"), "p=0.05");
    EXPECT_EQ(text("0123456789abcdef", "identity", "uuid"), "p=30313233-3435-3637-3839-616263646566");
    EXPECT_EQ(name_of(std::monostate{}, one_field("identity", "string")), "p=null");
    EXPECT_EQ(partition_name("", PartitionSpec{}), "(unpartitioned)");
}

TEST(Partition, keys_do_not_depend_on_order_and_nulls_do_not_count) {
    std::vector<PartitionValue> a(3), b(2);
    a[0] = {1001, std::string_view("x")};
    a[1] = {1000, std::int64_t{1}};
    a[2] = {1002, std::monostate{}};
    b[0] = {1000, std::int64_t{1}};
    b[1] = {1001, std::string_view("x")};
    std::string key_a, key_b;
    partition_key(a, key_a);
    partition_key(b, key_b);
    EXPECT_EQ(key_a, key_b);
    b[0].value = 1.0;
    partition_key(b, key_b);
    EXPECT_NE(key_a, key_b);
}

TEST(Partition, only_what_partition_key_wrote_is_a_key) {
    std::vector<PartitionValue> values{
        {1000, std::int64_t{1}}, {1001, std::string_view("x")}, {1002, true}, {1003, 0.5}};
    std::string key;
    partition_key(values, key);
    EXPECT_TRUE(is_partition_key(key));
    EXPECT_TRUE(is_partition_key(""));
    for (std::size_t size = 1; size < key.size(); ++size) {
        if (size == 13 || size == 27 || size == 32) continue;  // whole values
        EXPECT_FALSE(is_partition_key(std::string_view(key).substr(0, size))) << size;
    }
    EXPECT_FALSE(is_partition_key(key + key)) << "an id twice";
    std::string lie = key.substr(0, 13 + 5) + std::string(8, '\xff') + "x";
    EXPECT_FALSE(is_partition_key(lie)) << "a text of 2^64 bytes";
}

}  // namespace
}  // namespace signalbox::lake
