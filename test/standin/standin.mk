# standin.mk: build/stripe-standin, the stand-in for Stripe. Included by the top Makefile.

STANDIN_OBJECTS = $(patsubst test/standin/%.c,$(BUILD)/standin/%.o,$(wildcard test/standin/*.c))

$(BUILD)/stripe-standin: $(STANDIN_OBJECTS)
	$(call say,link)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcjson -lcurl -lcrypto -lpthread

$(BUILD)/standin/%.o: test/standin/%.c test/standin/standin.h
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
