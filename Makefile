# Makefile: builds, starts, tests and checks Arnova; `make` alone lists the targets.

VERSION  := 0.1.0
SERVICES := products orders users cart payments

# What may be set on the command line; every port follows from PORT.
PORT   ?= 8000
VAR    ?= var
SERVER ?= nginx
BUILD  ?= $(if $(SANITIZE),build/asan,build)
CC     := $(if $(filter default,$(origin CC)),gcc,$(CC))
SERVERS ?= $(if $(filter command,$(origin SERVER)),$(SERVER),nginx lighttpd)
export PORT VAR SERVER BUILD

.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules --no-print-directory

.PHONY: help build run start stop status test check format lint tidy check-sql asan clean
help: ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

# ---- For people. Each installs what it lacks before anything is compiled.

INSTALL  = sh deploy/local/install.sh
JOBS     = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
COMPILE  = $(MAKE) $(JOBS)
INSTANCE = sh deploy/local/instance.sh

build: ## compile the five services, the arnova program and the stand-in for Stripe
	@$(INSTALL) build
	@$(COMPILE) programs

run: ## serve the shop on PORT with a demo catalogue until Ctrl-C
	@$(INSTALL) build run
	@$(COMPILE) programs
	@exec $(INSTANCE) run

start: ## the same in the background; returns when every service is ready
	@$(INSTALL) build run
	@$(COMPILE) programs
	@$(INSTANCE) start

stop: ## end the instance in VAR
	@$(INSTANCE) stop

status: ## one line for each process of the instance in VAR
	@$(INSTANCE) status

test: ## unit and end-to-end tests under nginx and lighttpd (TESTS="orders cart" picks some)
	@$(INSTALL) build run test
	+@SERVERS="$(SERVERS)" bash test/run

check: ## what CI runs: format, lint, analysis, queries, all tests, sanitizers
	@$(INSTALL) build run test check
	+@WERROR=1 sh .ci/check

format: ## lay out the C sources
	@$(INSTALL) check
	clang-format -i $(FORMATTED)

lint: ## layering, banned functions, size budgets, scripts, configuration files
	@$(INSTALL) build run check
	@$(COMPILE) programs
	@sh .ci/lint

tidy: ## clang-tidy over every C source
	@$(INSTALL) build check
	@$(COMPILE) analysed

check-sql: ## prepare every named query against a freshly migrated database
	@$(INSTALL) build run test
	+@TESTS=check-sql SERVERS=nginx bash test/run

asan: ## all tests, under lighttpd and with the address and undefined-behaviour sanitizers
	@$(INSTALL) build run test
	+@SANITIZE=1 BUILD=build/asan SERVERS=lighttpd bash test/run

clean: ## remove what was built
	rm -rf build

# ---- Sources. A service is one file cgi/NAME.c or one folder cgi/NAME/.

service-sources = $(wildcard cgi/$(1).c cgi/$(1)/*.c)

SHARED     := $(wildcard shared/*.c)
CLI        := $(wildcard cli/*.c)
UNITS      := $(wildcard test/unit/unit_*.c)
SQL_SHARED := $(wildcard sql/shared/*.sql)
FORMATTED  := $(wildcard $(foreach folder,cgi cgi/* cli shared test test/unit test/standin,\
                $(folder)/*.c $(folder)/*.h))

LIBRARY      := $(BUILD)/libarnova.a
SQL_OBJECTS  := $(SERVICES:%=$(BUILD)/obj/sql/%.o)
SQL_HEADERS  := $(BUILD)/sql/shared.h $(SERVICES:%=$(BUILD)/sql/%.h) $(BUILD)/sql/migrations.h
UNIT_TESTS   := $(patsubst test/unit/unit_%.c,$(BUILD)/test/unit_%,$(UNITS))
PROGRAMS     := $(SERVICES:%=$(BUILD)/%.fcgi) $(BUILD)/stripe-standin $(BUILD)/arnova
TEST_PROGRAMS := $(UNIT_TESTS) $(BUILD)/test/check_sql $(BUILD)/test/fastcgi_client

object = $(patsubst %.c,$(BUILD)/obj/%.o,$(1))

# ---- Flags.

WARNINGS := -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Wformat=2 -Wno-missing-field-initializers
HARDENED := -O2 -D_FORTIFY_SOURCE=2 -fstack-protector-strong
CHECKS   := -fsanitize=address,undefined
CHECKED  := -O1 $(CHECKS) -fno-sanitize-recover=all -fno-omit-frame-pointer
POSTGRES  = $(eval POSTGRES := -I$(shell pg_config --includedir 2>/dev/null))$(POSTGRES)

CPPFLAGS = -D_GNU_SOURCE -DARNOVA_VERSION='"$(VERSION)"' -I$(BUILD)/sql -Ishared $(POSTGRES)
# Hidden, or libjwt would find our json_true and json_string where it means jansson's.
CFLAGS   = -std=c17 -g -fPIE -fvisibility=hidden $(if $(SANITIZE),$(CHECKED),$(HARDENED)) $(WARNINGS) \
           $(if $(WERROR)$(CI),-Werror)
LDFLAGS  = -pie -Wl,-z,relro,-z,now,--as-needed $(if $(SANITIZE),$(CHECKS))
LDLIBS   = -lfcgi -lpq -lcjson -ljwt -lcurl -lcrypto -largon2

# V=1 shows the commands whole.
say  = $(if $(V),,@printf '%-5s %s\n' $(1) $@;)
LINK = $(call say,link)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

# ---- Programs.

include test/standin/standin.mk

.PHONY: programs tests analysed
programs: $(PROGRAMS)
	@mkdir -p var/run var/log var/media
tests: $(TEST_PROGRAMS)

define service
$(BUILD)/$(1).fcgi: $(call object,$(call service-sources,$(1))) $(BUILD)/obj/sql/$(1).o $(LIBRARY)
	$$(LINK)
endef
$(foreach name,$(SERVICES),$(eval $(call service,$(name))))

$(BUILD)/arnova: $(call object,$(CLI)) $(SQL_OBJECTS) $(BUILD)/obj/sql/migrations.o $(LIBRARY)
	$(LINK)

$(BUILD)/test/check_sql: $(call object,test/check_sql.c) $(SQL_OBJECTS) \
                         $(BUILD)/obj/sql/migrations.o $(LIBRARY)
	@mkdir -p $(@D)
	$(LINK)

$(BUILD)/test/fastcgi_client: $(call object,test/fastcgi_client.c $(wildcard test/wire*.c))
	@mkdir -p $(@D)
	$(LINK)

$(BUILD)/test/unit_%: $(BUILD)/obj/test/unit/unit_%.o $(LIBRARY)
	@mkdir -p $(@D)
	$(LINK)

# A unit test of a service's own files names them.
$(BUILD)/test/unit_stripe: $(call object,cgi/payments/signature.c cgi/payments/verdict.c)

# Made anew, or a file that was removed would live on in it.
$(LIBRARY): $(call object,$(SHARED)) $(BUILD)/obj/sql/shared.o
	@rm -f $@
	$(call say,pack)ar rcs $@ $^

# Objects made with other flags are made again: a warning must not hide in an old one.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(subst ','"'"',$(CC) $(CPPFLAGS) $(CFLAGS))' | cmp -s - $@ || \
		echo '$(subst ','"'"',$(CC) $(CPPFLAGS) $(CFLAGS))' >$@
.PHONY: FORCE

$(BUILD)/obj/%.o: %.c $(BUILD)/flags | $(SQL_HEADERS)
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/obj/sql/%.o: $(BUILD)/sql/%.c $(BUILD)/flags | $(SQL_HEADERS)
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

.SECONDARY:
-include $(shell find $(BUILD)/obj -name '*.d' 2>/dev/null)

# ---- C made from SQL.

define generated
$(BUILD)/sql/$(1).c $(BUILD)/sql/$(1).h &: sql/generate.sh $(SQL_SHARED) \
                                          $(wildcard sql/$(1) sql/$(1)/*.sql sql/$(1)/*/*.sql)
	@mkdir -p $(BUILD)/sql
	@sh sql/generate.sh $(1) $(abspath $(BUILD)/sql)
	@touch -c $(BUILD)/sql/$(1).c $(BUILD)/sql/$(1).h
endef
$(foreach name,shared $(SERVICES),$(eval $(call generated,$(name))))

$(BUILD)/sql/migrations.c $(BUILD)/sql/migrations.h &: sql/generate.sh $(wildcard sql/*/*.sql sql/*)
	@mkdir -p $(BUILD)/sql
	@sh sql/generate.sh --migrations $(abspath $(BUILD)/sql)
	@touch -c $(BUILD)/sql/migrations.c $(BUILD)/sql/migrations.h

# ---- Analysis, remembered per file.

ANALYSED := $(SHARED) $(CLI) $(wildcard cgi/*.c cgi/*/*.c test/*.c test/unit/*.c test/standin/*.c)
analysed: $(ANALYSED:%.c=$(BUILD)/tidy/%.ok)

$(BUILD)/tidy/%.ok: %.c .clang-tidy Makefile $(wildcard shared/*.h cgi/*/*.h cli/*.h) $(SQL_HEADERS)
	@mkdir -p $(@D)
	$(call say,tidy)clang-tidy --quiet $< -- -std=c17 $(CPPFLAGS) $(WARNINGS)
	@touch $@
