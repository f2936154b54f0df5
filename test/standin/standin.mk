# standin.mk: build/stripe-standin, the stand-in for Stripe. Included by the top Makefile.

STANDIN_OBJECTS = $(patsubst test/standin/%.c,$(BUILD)/standin/%.o,$(wildcard test/standin/*.c)) \
                  $(BUILD)/standin/openapi.o

$(BUILD)/stripe-standin: $(STANDIN_OBJECTS)
	$(call say,link)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lcjson -lcurl -lcrypto -lpthread

$(BUILD)/standin/%.o: test/standin/%.c $(wildcard test/standin/*.h)
	@mkdir -p $(@D)
	$(call say,cc)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

# The description of the API, as bytes.
$(BUILD)/standin/openapi.c: test/standin/openapi.json
	@mkdir -p $(@D)
	@{ echo 'extern const char openapi_json[]; const char openapi_json[] = {'; \
		od -An -v -tx1 $< | sed 's/ \(..\)/0x\1,/g'; echo '0};'; } >$@

$(BUILD)/standin/openapi.o: $(BUILD)/standin/openapi.c
	$(call say,cc)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<
