// Linked by collect_libraries.cmake to learn what zig links with.
int main() {}
