/* For modules with commands that the service alone may run. Included after engine.h. */
#ifndef CACHEFLEET_CONTROLLER_H
#define CACHEFLEET_CONTROLLER_H

#define CONTROLLER "cachefleet" /* engines/access.py */
#define CONTROLLER_COMMAND_FLAGS "admin deny-script no-monitor no-slowlog allow-loading allow-stale fast"

/* Whether the service calls. Others, also modules, which call as nobody, get an error. */
static inline int is_controller(engine_context *context) {
    size_t size = 0;
    engine_string *name = GetClientUserNameById(context, GetClientId(context));
    if (!name) return 0;
    const char *text = StringPtrLen(name, &size);
    int it_is = size == strlen(CONTROLLER) && memcmp(text, CONTROLLER, size) == 0;
    FreeString(context, name);
    return it_is;
}

#endif
