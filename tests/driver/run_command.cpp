#include "tests/driver/run_command.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace sylvite::testing {
namespace {

constexpr int kCannotStart = 125;

// Between fork and exec.
[[noreturn]] void become(const std::vector<std::string> &words, const CommandOptions &options) {
  if (!options.root.empty()) {
    if (geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) {
      _exit(kCannotStart);
    }
    if (chroot(options.root.c_str()) != 0 || chdir("/") != 0) {
      _exit(kCannotStart);
    }
  }
  const rlimit most{static_cast<rlim_t>(options.most_memory),
                    static_cast<rlim_t>(options.most_memory)};
  if (options.most_memory > 0 && setrlimit(RLIMIT_DATA, &most) != 0) {
    _exit(kCannotStart);
  }
  if (!options.folder.empty() && chdir(options.folder.c_str()) != 0) {
    _exit(kCannotStart);
  }
  for (const auto &[name, value] : options.environment) {
    setenv(name.c_str(), value.c_str(), 1);
  }
  std::vector<char *> pointers;
  for (const std::string &word : words) {
    pointers.push_back(const_cast<char *>(word.c_str()));
  }
  pointers.push_back(nullptr);
  execv(pointers[0], pointers.data());
  _exit(127);
}

// Feeds and drains the pipes until all are closed.
void pump(int in, const std::string &input, int out, std::string &out_text, int err,
          std::string &err_text) {
  size_t written = 0;
  std::array<pollfd, 3> polls = {pollfd{in, POLLOUT, 0}, pollfd{out, POLLIN, 0},
                                 pollfd{err, POLLIN, 0}};
  const auto drop = [](pollfd &entry) {
    close(entry.fd);
    entry.fd = -1;
  };
  if (input.empty()) {
    drop(polls[0]);
  }
  const auto drain = [&](pollfd &entry, std::string &text) {
    if (entry.fd < 0 || (entry.revents & (POLLIN | POLLHUP | POLLERR)) == 0) {
      return;
    }
    std::array<char, 65536> buffer;
    const ssize_t count = read(entry.fd, buffer.data(), buffer.size());
    if (count <= 0) {
      drop(entry);
    } else {
      text.append(buffer.data(), static_cast<size_t>(count));
    }
  };
  while (polls[0].fd >= 0 || polls[1].fd >= 0 || polls[2].fd >= 0) {
    if (poll(polls.data(), polls.size(), -1) < 0 && errno != EINTR) {
      break;
    }
    if (polls[0].fd >= 0 && polls[0].revents != 0) {
      const ssize_t count = write(polls[0].fd, input.data() + written, input.size() - written);
      written += count > 0 ? static_cast<size_t>(count) : 0;
      if (count <= 0 || written == input.size()) {
        drop(polls[0]);
      }
    }
    drain(polls[1], out_text);
    drain(polls[2], err_text);
  }
}

}  // namespace

CommandResult run_command(const std::vector<std::string> &words, const CommandOptions &options) {
  std::array<int, 2> in{}, out{}, err{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0 ||
      pipe2(err.data(), O_CLOEXEC) != 0) {
    throw std::runtime_error("no pipes");
  }
  std::signal(SIGPIPE, SIG_IGN);  // a program that reads none of its input
  CommandResult result;
  const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGPIPE, SIG_DFL);
    dup2(in[0], 0);
    dup2(out[1], 1);
    dup2(err[1], 2);
    become(words, options);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  pump(in[1], options.input, out[0], result.out, err[0], result.err);
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  result.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  result.peak_bytes = usage.ru_maxrss * 1024;
  result.could_start = result.status != kCannotStart;
  return result;
}

std::string sylvite_binary() {
  return SYLVITE_BINARY;
}

CommandResult run_sylvite(std::vector<std::string> words, const CommandOptions &options) {
  words.insert(words.begin(), sylvite_binary());
  return run_command(words, options);
}

std::string read_file_text(const std::string &file) {
  std::ifstream stream(file, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

void write_file_text(const std::string &file, const std::string &text) {
  std::ofstream stream(file, std::ios::binary);
  stream << text;
}

std::vector<std::string> lines_of(const std::string &text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

}  // namespace sylvite::testing
