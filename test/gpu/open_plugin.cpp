// Opens a backend by name, as the program does, and prints what it says of itself, or why it cannot be had.
#include <iostream>

#include "divs/core/error.hpp"
#include "divs/nn/backend.hpp"

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    try {
        const auto backend = divs::nn::make_backend(argv[1], {});
        std::cout << backend->name() << ": " << backend->description() << '\n';
    } catch (const divs::Error& e) {
        std::cout << e.what() << '\n';
        return 1;
    }
}
