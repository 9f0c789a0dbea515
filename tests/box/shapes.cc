/* A guest in C++: exceptions through many frames and out of the library, streams, threads with their own storage, order of destruction. */
#include <iostream>
#include <map>
#include <regex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

struct noisy {
	noisy() { std::cout << "constructed\n"; }
	~noisy() { std::cout << "destroyed\n"; }
} global;

static thread_local std::string own = "main's";

static int deep(int n)
{
	std::vector<int> frame(n, n);
	if (!n)
		throw std::runtime_error("thrown from below");
	return deep(n - 1) + frame.back();
}

int main()
{
	try {
		deep(100);
	} catch (const std::exception &e) {
		std::cout << e.what() << '\n';
	}
	try {
		std::map<int, int>().at(3);
	} catch (const std::out_of_range &e) {
		std::cout << e.what() << '\n';
	}
	std::thread([] { own = "the thread's", std::cout << own << '\n'; }).join();
	std::string line;
	int matching = 0;
	for (std::regex words("(free|soft)[a-z]*"); std::getline(std::cin, line);)
		matching += std::regex_search(line, words);
	std::cout << own << ' ' << matching << '\n';
	std::cerr << "complaint\n";
	return 3;
}
