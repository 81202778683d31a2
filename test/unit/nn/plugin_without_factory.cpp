// A library that is no plugin.
extern "C" int divs_plugin_without_factory() {
    return 1;
}
