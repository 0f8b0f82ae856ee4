// Stops itself by SIGSTOP while an exception is on its way: in a destructor, below what throws it.
#include <csignal>
#include <stdexcept>
#include <string>

struct Holder {
  std::string name;
  ~Holder() { raise(SIGSTOP); }
};

__attribute__((noinline)) void fail(int depth) {
  Holder holder{"held at " + std::to_string(depth)};
  if (depth == 0)
    throw std::runtime_error("in flight");
  fail(depth - 1);
}

int main() {
  try {
    fail(2);
  } catch (const std::exception &error) {
    return error.what()[0] != 'i';
  }
}
