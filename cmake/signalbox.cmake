# How this project declares its parts: one static library per folder, sources found by name, so that adding a file needs
# no edit here. Every target gets the same warnings.

add_library(sb_options INTERFACE)
target_compile_features(sb_options INTERFACE cxx_std_20)
target_compile_options(sb_options INTERFACE -Wall -Wextra -Wconversion -Wno-sign-conversion -Werror=return-type)
target_include_directories(sb_options INTERFACE ${PROJECT_SOURCE_DIR}/src)
# Boost's own headers convert freely; they are not ours to mend.
find_package(Boost 1.81 REQUIRED COMPONENTS json url)
target_include_directories(sb_options SYSTEM INTERFACE ${Boost_INCLUDE_DIRS})
target_compile_definitions(sb_options INTERFACE BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_VISIBILITY)
if(SIGNALBOX_SANITIZE)
    target_compile_options(sb_options INTERFACE -fsanitize=${SIGNALBOX_SANITIZE} -fno-omit-frame-pointer)
    target_link_options(sb_options INTERFACE -fsanitize=${SIGNALBOX_SANITIZE})
endif()
if(SIGNALBOX_FUZZ)
    # Without it a fuzzer sees no coverage of the libraries, and guesses blindly.
    target_compile_options(sb_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# sb_library(NAME DIR [LINK libs…]): all .cpp files directly in src/DIR.
function(sb_library name dir)
    cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/${dir}/*.cpp)
    if(sources)
        add_library(${name} STATIC ${sources})
        target_link_libraries(${name} PUBLIC sb_options ${ARG_LINK})
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE sb_options ${ARG_LINK})
    endif()
endfunction()

# sb_test(NAME DIR LINK libs…): one GoogleTest binary of all .cpp files directly in DIR, run as one ctest test per binary.
function(sb_test name dir)
    cmake_parse_arguments(ARG "" "" "LINK;LABELS" ${ARGN})
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${dir}/*.cpp)
    if(NOT sources)
        return()
    endif()
    add_executable(${name} ${sources})
    target_link_libraries(${name} PRIVATE sb_options ${ARG_LINK} GTest::gmock GTest::gtest_main)
    target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/test ${PROJECT_SOURCE_DIR})
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT 600 WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
endfunction()

# sb_fuzzer(NAME LINK libs…): test/fuzz/NAME.cpp with libFuzzer; its corpus is test/fuzz/corpus/NAME.
function(sb_fuzzer name)
    cmake_parse_arguments(ARG "" "" "LINK" ${ARGN})
    add_executable(fuzz_${name} ${PROJECT_SOURCE_DIR}/test/fuzz/${name}.cpp)
    target_link_libraries(fuzz_${name} PRIVATE sb_options ${ARG_LINK})
    target_compile_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
endfunction()
