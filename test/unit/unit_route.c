/* unit_route.c: the normal form of paths, and which route answers one. */
#include "internal.h"
#include "tap.h"

static struct arena *arena;

/* ---- Paths ---- */

/* clang-format off */
static const struct {
	const char *uri, *path;
} paths[] = {
	{"/", "/"},
	{"/api/v1/products/", "/api/v1/products/"},
	{"/api/v1/products", "/api/v1/products/"},
	{"/api/v1/products?page=2", "/api/v1/products/"},
	{"/api/v1/products/?a=//../%00", "/api/v1/products/"},
	{"/api/v1/products/caf%C3%A9/", "/api/v1/products/caf\xc3\xa9/"},
	{"/a+b%20c", "/a+b c/"},
	{"/%61pi", "/api/"},
	{"/a%252fb", "/a%2fb/"},     /* decoded once */
	{"/a%252e%252e/b", "/a%2e%2e/b/"},
	{"/.../..a/a../.a", "/.../..a/a../.a/"},
	{"", NULL}, {"*", NULL}, {"?", NULL}, {"api", NULL}, {"http://shop.example/api/", NULL},
	{"//", NULL}, {"/api//v1/", NULL}, {"//api/", NULL}, {"/api/v1//", NULL},
	{"/.", NULL}, {"/..", NULL}, {"/api/./v1/", NULL}, {"/api/../v1/", NULL}, {"/api/v1/..", NULL},
	{"/api/%2e%2e/v1/", NULL}, {"/api/.%2E/v1", NULL}, {"/api/%2e/", NULL},
	{"/api%2fv1/", NULL}, {"/api%2Fv1/", NULL}, {"/api/v1/%2f", NULL}, {"/%2f", NULL},
	{"/api/%00/", NULL}, {"/api/%0d%0aX/", NULL}, {"/api/%1f", NULL}, {"/api/%7f", NULL},
	{"/api/\x01/", NULL}, {"/api/%c2%85/", NULL},
	{"/api/%", NULL}, {"/api/%4", NULL}, {"/api/%zz/", NULL}, {"/api/%4?4", NULL},
	{"/api/%ff/", NULL}, {"/api/%c0%ae/", NULL}, {"/api/\xed\xa0\x80/", NULL},
};
/* clang-format on */

static void test_paths(void)
{
	for (size_t i = 0; i < COUNT(paths); i++)
		is_text(path_normalise(arena, paths[i].uri), paths[i].path,
		        json_quote(arena, paths[i].uri));

	char *path = arena_alloc(arena, LIMIT_PATH + 2);

	memset(path, 'a', LIMIT_PATH);
	*path = '/';
	ok(path_normalise(arena, path) != NULL, "the longest path");
	path[LIMIT_PATH] = 'a';
	ok(path_normalise(arena, path) == NULL, "a longer one");
}

/* ---- Routes ---- */

static struct reply nothing(struct request *request)
{
	(void)request;
	return (struct reply){204, NULL};
}

/* clang-format off */
static const struct route routes[] = {
	{GET,    "/api/v1/products/",                    .handler = nothing},
	{POST,   "/api/v1/products/",                    .handler = nothing},
	{GET,    "/api/v1/products/:slug/",              .handler = nothing},
	{PUT,    "/api/v1/products/:id/",                .handler = nothing},
	{GET,    "/api/v1/products/categories/",         .handler = nothing},
	{POST,   "/api/v1/products/categories/",         .handler = nothing},
	{GET,    "/api/v1/products/categories/:id/",     .handler = nothing},
	{GET,    "/api/v1/products/:id/reviews/",        .handler = nothing},
	{DELETE, "/api/v1/products/:id/reviews/:rid/",   .handler = nothing},
	{GET,    "/api/v1/both/:slug/",                  .handler = nothing},
	{GET,    "/api/v1/both/:id/",                    .handler = nothing},
	{GET,    "/health/:service/",                    .handler = nothing},
	{GET,    "/health/ready/",                       .handler = nothing},
};

static const struct service_definition service = {"test", routes, COUNT(routes), 1};

#define BIT(method) (1U << (method))

static const struct {
	enum method method;
	unsigned    allowed;
	const char *path, *found; /* NULL: none */
	const char *name, *value; /* a parameter of it */
} searches[] = {
	{GET,    BIT(GET) | BIT(POST),  "/api/v1/products/", "/api/v1/products/"},
	{POST,   BIT(GET) | BIT(POST),  "/api/v1/products/", "/api/v1/products/"},
	{PATCH,  BIT(GET) | BIT(POST),  "/api/v1/products/", NULL},
	{GET,    BIT(GET) | BIT(PUT),   "/api/v1/products/7/", "/api/v1/products/:slug/", "slug", "7"},
	{PUT,    BIT(GET) | BIT(PUT),   "/api/v1/products/7/", "/api/v1/products/:id/", "id", "7"},
	{DELETE, BIT(GET) | BIT(PUT),   "/api/v1/products/7/", NULL},
	{GET,    BIT(GET),              "/api/v1/products/red-Shoe_2/", "/api/v1/products/:slug/", "slug", "red-Shoe_2"},
	{PUT,    BIT(GET),              "/api/v1/products/red-shoe/", NULL},
	{GET,    0,                     "/api/v1/products/red shoe/", NULL},
	{GET,    0,                     "/api/v1/products/caf\xc3\xa9/", NULL},
	{GET,    BIT(GET) | BIT(POST),  "/api/v1/products/categories/", "/api/v1/products/categories/"},
	{PUT,    BIT(GET) | BIT(POST),  "/api/v1/products/categories/", NULL},
	{GET,    BIT(GET),              "/api/v1/products/categories/4/", "/api/v1/products/categories/:id/", "id", "4"},
	{GET,    0,                     "/api/v1/products/categories/x/", NULL},
	{GET,    BIT(GET),              "/api/v1/products/4/reviews/", "/api/v1/products/:id/reviews/", "id", "4"},
	{DELETE, BIT(DELETE),           "/api/v1/products/4/reviews/5/", "/api/v1/products/:id/reviews/:rid/", "rid", "5"},
	{DELETE, 0,                     "/api/v1/products/4/reviews/x/", NULL},
	{DELETE, 0,                     "/api/v1/products/4/reviews/0/", NULL},
	{GET,    BIT(GET),              "/api/v1/both/3/", "/api/v1/both/:id/", "id", "3"},
	{GET,    BIT(GET),              "/api/v1/both/a/", "/api/v1/both/:slug/", "slug", "a"},
	{GET,    BIT(GET),              "/health/ready/", "/health/ready/"},
	{GET,    BIT(GET),              "/health/any thing/", "/health/:service/", "service", "any thing"},
	{PUT,    0,                     "/api/v1/products/0/", NULL},
	{PUT,    0,                     "/api/v1/products/07/", NULL},
	{PUT,    BIT(GET),              "/api/v1/products/-7/", NULL}, /* a slug */
	{PUT,    BIT(GET) | BIT(PUT),   "/api/v1/products/999999999999999999/", "/api/v1/products/:id/", "id", "999999999999999999"},
	{PUT,    0,                     "/api/v1/products/1000000000000000000/", NULL},
	{GET,    0,                     "/api/v1/products/1000000000000000000/", NULL},
	{GET,    0,                     "/api/v1/", NULL},
	{GET,    0,                     "/api/v1/product/", NULL},
	{GET,    0,                     "/api/v1/productss/", NULL},
	{GET,    0,                     "/API/v1/products/", NULL},
	{GET,    0,                     "/api/v1/products/7/x/", NULL},
	{GET,    0,                     "/", NULL},
	{0,      BIT(GET) | BIT(POST),  "/api/v1/products/", NULL},
};
/* clang-format on */

/* What the service has for the request, and what that leaves in kept. */
static struct private kept;

static const struct route *search(enum method method, const char *path, unsigned *allowed)
{
	struct request request = {arena, method, .path = path, .private = &kept};

	kept.params.count = 0;
	return route_find(&service, &request, allowed);
}

static const char *value_of(const char *name)
{
	struct param *param = name ? params_find(&kept.params, name) : NULL;

	return param ? param->value : NULL;
}

static void test_search(size_t i)
{
	unsigned allowed = 99;
	const struct route *route = search(searches[i].method, searches[i].path, &allowed);

	is_text(route ? route->path : NULL, searches[i].found,
	        arena_printf(arena, "%s %s", method_name(searches[i].method),
	                     searches[i].path));
	if (route)
		is_int(route->method, searches[i].method, "of that method");
	is_int(allowed, searches[i].allowed, "with the methods that it has");
	is_text(value_of(searches[i].name), searches[i].value, "and its parameter");
	if (!route)
		is_int((long long)kept.params.count, 0, "which leaves no parameters");
}

static void test_slug_size(void)
{
	char slug[257];
	unsigned allowed;

	memset(slug, 'a', 256);
	slug[256] = '\0';
	ok(!search(GET, arena_printf(arena, "/api/v1/products/%s/", slug), &allowed),
	   "256 letters are no slug");
	ok(search(GET, arena_printf(arena, "/api/v1/products/%s/", slug + 1), &allowed) != NULL,
	   "255 are one");
}

static void test_two_parameters(void)
{
	unsigned allowed;

	ok(search(DELETE, "/api/v1/products/4/reviews/5/", &allowed) != NULL,
	   "a path with two parameters");
	is_text(value_of("id"), "4", "has the first one");
	is_text(value_of("rid"), "5", "and the second one");
	is_int((long long)kept.params.count, 2, "and no more");
}

int main(void)
{
	arena = arena_new();
	test_paths();
	for (size_t i = 0; i < COUNT(searches); i++)
		test_search(i);
	test_slug_size();
	test_two_parameters();
	is_text(method_name(DELETE), "DELETE", "methods have names");
	is_text(method_name((enum method)9), "", "others have none");
	arena_destroy(arena);
	return done();
}
