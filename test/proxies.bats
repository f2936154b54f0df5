# proxies.bats: a proxy in front of the shop, such as one that ends TLS.
# shellcheck shell=bash disable=SC2154

setup() {
	load helper
}

# behind PROTO HOST: what products answers as CGI to somebody at 10.1.2.3 who says so.
behind() {
	run env REQUEST_METHOD=GET REQUEST_URI='/api/v1/products/?page_size=1&page=1' REMOTE_ADDR=10.1.2.3 \
		HTTP_X_FORWARDED_PROTO="$1" HTTP_X_FORWARDED_FOR=9.9.9.9 HTTP_HOST="$2" \
		"${BUILD:-${ARNOVA_BUILD:-build}}/products.fcgi" </dev/null
}

@test "links of a list say https where a trusted proxy says so, and the client is who it reports" {
	new_product >/dev/null
	new_product >/dev/null
	export TRUSTED_PROXIES='192.168.0.0/16, 10.0.0.0/8'
	behind https shop.example
	[[ $output == *'"next":"https://shop.example/api/v1/products/?'* ]]
	[[ $output == *'"client.ip":"9.9.9.9"'* ]]
	behind http shop.example
	[[ $output == *'"next":"http://shop.example/api/v1/products/?'* ]]
	export TRUSTED_PROXIES='10.1.2.0/31'
	behind https shop.example
	[[ $output == *'"next":"http://shop.example/api/v1/products/?'* ]]
	[[ $output == *'"client.ip":"10.1.2.3"'* ]]
}

@test "a list of proxies that names none stops the program" {
	export TRUSTED_PROXIES='10.0.0.1, proxy.example'
	behind https shop.example
	[[ $status == 1 && $output == "could not start: TRUSTED_PROXIES has 'proxy.example', which is no address and no network" ]]
}
