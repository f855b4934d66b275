defmodule Sidewinder.AddressTest do
  @moduledoc "Several addresses: names that change, the least loaded, those that do not serve, and those that lose calls."
  use ExUnit.Case, async: true
  import Sidewinder.Asking
  import Sidewinder.Bytes, except: [answer: 3, answer: 4, fields: 4]
  alias Sidewinder.{Channel, Counting, Names, Peer}
  alias Sidewinder.Channel.Breaker
  alias Sidewinder.Wire.Status

  @path Sidewinder.Asking.path()

  defp servers(count), do: Enum.map(1..count, fn _ -> Peer.listen() end)

  test "a call goes where the fewest are" do
    [{one, first}, {two, second}] = servers(2)
    channel = channel([first, second])
    one = Peer.accept(one)
    two = Peer.accept(two)
    eventually(fn -> length(connections(channel)) == 2 end)

    calls =
      for number <- 1..10, do: tap(ask(channel, "#{number}"), fn _ -> eventually(fn -> load(channel) == number end) end)

    one = Enum.reduce(1..5, one, fn _, peer -> elem(Peer.request(peer), 3) end)
    two = Enum.reduce(1..5, two, fn _, peer -> elem(Peer.request(peer), 3) end)
    # All of one server's calls end: the next ones go there.
    one = Enum.reduce([1, 3, 5, 7, 9], one, &Peer.answer(&2, &1, ""))
    eventually(fn -> load(channel) == 5 end)
    more = for _ <- 1..4, do: ask(channel, "")
    one = Enum.reduce(1..4, one, fn _, peer -> elem(Peer.request(peer), 3) end)
    assert Peer.quiet?(two, [:fields])
    assert one
    Enum.each(calls ++ more, &Task.shutdown(&1, :brutal_kill))
  end

  test "an address that is gone is done without" do
    [{one, first}, {two, second}] = servers(2)
    {_, counts} = Counting.start(two, [], fn _ -> :serve end)
    :gen_tcp.close(one)
    channel = channel([first, second])
    for number <- 1..20, do: assert({:ok, _, _} = Channel.unary(channel, @path, "#{number}"))
    assert :ets.info(counts, :size) == 20
  end

  describe "names" do
    test "are asked for again, and what is no longer named takes no more calls" do
      {one, {:tcp, _, port}} = Peer.listen_tcp()
      {two, _} = listen_on({127, 0, 0, 2}, port)
      {dns, names} = Names.start([{~c"pool.test", :a, {127, 0, 0, 1}}])
      channel = channel({:dns, "pool.test", port}, dns: dns, resolve_every: 20)
      one = Peer.accept(one)
      eventually(fn -> addresses(channel) == [{:tcp, {127, 0, 0, 1}, port}] end)
      last = ask(channel, "last")
      {1, fields, _, one} = Peer.request(one)
      assert fields[":authority"] == "127.0.0.1:#{port}"

      Names.set(names, [{~c"pool.test", :a, {127, 0, 0, 2}}])
      two = Peer.accept(two)
      eventually(fn -> addresses(channel) == [{:tcp, {127, 0, 0, 2}, port}] end)
      call = ask(channel, "first")
      {1, _, _, two} = Peer.request(two)
      Peer.answer(two, 1, "2")
      assert {:ok, "2", _} = Task.await(call)
      # The last call there is answered, and then that connection ends.
      one = Peer.answer(one, 1, "1")
      assert {:ok, "1", _} = Task.await(last)
      Peer.closed(one)

      # An answer without addresses changes nothing.
      Names.set(names, [])
      asked = fn -> for({{:dns, _, _}, %{why: why}} <- :sys.get_state(channel).names, do: why) end
      eventually(fn -> asked.() == ["pool.test has no address"] end)
      assert addresses(channel) == [{:tcp, {127, 0, 0, 2}, port}]
    end

    test "of services say ports, and only the best priority counts" do
      {one, {:tcp, _, port}} = Peer.listen_tcp()
      {_, {:tcp, _, other}} = Peer.listen_tcp()

      {dns, _} =
        Names.start([
          {~c"_grpc._tcp.test", :srv, {10, 1, port, ~c"a.test"}},
          {~c"_grpc._tcp.test", :srv, {20, 1, other, ~c"b.test"}},
          {~c"a.test", :a, {127, 0, 0, 1}},
          {~c"b.test", :a, {127, 0, 0, 1}}
        ])

      channel = channel({:srv, "_grpc._tcp.test"}, dns: dns)
      Peer.accept(one)
      eventually(fn -> addresses(channel) == [{:tcp, {127, 0, 0, 1}, port}] end)
      # The other one is not even connected to.
      assert Map.keys(:sys.get_state(channel).addresses) == [{:tcp, {127, 0, 0, 1}, port}]
    end

    test "that mean nothing are told" do
      {dns, _} = Names.start([])
      channel = channel([{:dns, "nobody.test", 1}, {:srv, "nothing.test"}], dns: dns)
      assert {:error, %Status{code: 14, sent: :no, message: message}} = Channel.unary(channel, @path, "")
      assert message =~ "nobody.test has no address"
    end

    test "that cannot be asked for are told, and asked for again" do
      channel = channel({:dns, "pool.test", 1}, dns: [nameservers: :nobody], resolve_every: 10)
      assert {:error, %Status{code: 14, sent: :no, message: message}} = Channel.unary(channel, @path, "")
      assert message =~ "asking for pool.test failed"
      asked = fn -> for({{:dns, _, _}, %{asked: asked}} <- :sys.get_state(channel).names, do: asked) end
      [first] = asked.()
      eventually(fn -> hd(asked.()) > first end)
    end

    test "of this machine come from its files" do
      {one, {:tcp, _, port}} = Peer.listen_tcp()
      channel = channel({:dns, "localhost", port})
      Peer.accept(one)
      eventually(fn -> {:tcp, {127, 0, 0, 1}, port} in addresses(channel) end)
    end

    defp listen_on(ip, port) do
      {:ok, listener} = :gen_tcp.listen(port, [:binary, active: false, ip: ip, reuseaddr: true])
      {listener, {:tcp, ip, port}}
    end
  end

  describe "health" do
    @watch "/grpc.health.v1.Health/Watch"

    test "takes an address away and brings it back" do
      [{one, first}, {two, second}] = servers(2)
      channel = channel([first, second], health: "service")
      {one, 1} = watched(Peer.accept(one))
      {two, 1} = watched(Peer.accept(two))
      one = health(one, 1, 1)
      two = health(two, 1, 2)
      eventually(fn -> addresses(channel) == [first] end)
      one = health(one, 1, 2)
      eventually(fn -> addresses(channel) == [] end)
      assert {:error, %Status{code: 14, sent: :no, message: message}} = Channel.unary(channel, @path, "")
      assert message =~ "does not serve"
      patient = ask(channel, "", wait: true)
      two = health(two, 1, 1)
      {3, _, _, two} = Peer.request(two)
      Peer.answer(two, 3, "")
      assert {:ok, "", _} = Task.await(patient)
      # A watch does not count as a call.
      assert load(channel) == 0
      # The connection that said so is gone, and what it said with it.
      Peer.close(one)
      eventually(fn -> :sys.get_state(channel).addresses[first].health == :unknown end)
    end

    test "that nobody can tell is good" do
      [{one, first}] = servers(1)
      channel = channel(first, health: "")
      {peer, 1} = watched(Peer.accept(one), "")
      peer = Peer.refuse(peer, 1, 12, "no health here")
      call = ask(channel, "")
      {3, _, _, peer} = Peer.request(peer)
      Peer.answer(peer, 3, "")
      assert {:ok, "", _} = Task.await(call)
      # It is not asked again on this connection.
      assert Peer.quiet?(peer, [:fields])
    end

    defp watched(peer, service \\ "service") do
      {id, %{":path" => @watch}, <<0, _::32, question::binary>>, peer} = Peer.request(peer)
      assert question == if(service == "", do: "", else: <<0x0A, byte_size(service), service::binary>>)
      {Peer.fields(peer, id, begun()), id}
    end

    defp health(peer, id, status), do: Peer.say(peer, data(id, message(<<8, status>>)))
  end

  describe "a fuse" do
    test "opens after failures in a row, lets one call try, and closes or opens again" do
      fuse = Breaker.new(3)
      assert [:ok, :ok] = for(_ <- 1..2, do: Breaker.bad(fuse))
      assert :ok = Breaker.good(fuse)
      assert [:ok, :ok, :opened, :ok] = for(_ <- 1..4, do: Breaker.bad(fuse))
      refute Breaker.allows?(fuse)
      Breaker.try_again(fuse)
      assert Breaker.passable?(fuse)
      assert [true, false, false] = for(_ <- 1..3, do: Breaker.allows?(fuse))
      assert :opened = Breaker.bad(fuse)
      refute Breaker.allows?(fuse)
      Breaker.try_again(fuse)
      assert Breaker.allows?(fuse)
      # The call that was to try is lost: another one may.
      Breaker.try_again(fuse)
      assert Breaker.allows?(fuse)
      assert :closed = Breaker.good(fuse)
      assert Breaker.state(fuse) == :closed
      assert Enum.all?(1..3, fn _ -> Breaker.allows?(fuse) end)
    end

    test "of no size never opens" do
      fuse = Breaker.new(0)
      for _ <- 1..100, do: assert(:ok = Breaker.bad(fuse))
      assert Breaker.allows?(fuse)
    end

    test "keeps calls from an address that loses them, and lets one try later" do
      [{one, first}, {two, second}] = servers(2)
      lost = :counters.new(1, [])
      # The first server takes every call and resets it, until it is well again.
      sick = :atomics.new(1, [])
      :atomics.put(sick, 1, 1)
      spawn_link(fn -> resetting(Peer.accept(one), sick, lost) end)
      {_, _} = Counting.start(two, [], fn _ -> :serve end)
      channel = channel([first, second], breaker: [failures: 3, cooldown: 50])
      eventually(fn -> length(addresses(channel)) == 2 end)
      results = for number <- 1..100, do: Channel.unary(channel, @path, "#{number}")
      bad = Enum.count(results, &match?({:error, %Status{code: 13}}, &1))
      assert bad >= 3
      assert Enum.count(results, &match?({:ok, _, _}, &1)) == 100 - bad
      # After three, only those that were let through to try.
      assert bad <= 3 + 20
      assert :counters.get(lost, 1) == bad
      :atomics.put(sick, 1, 0)
      fuse = fn -> Breaker.state(:sys.get_state(channel).addresses[first].breaker) end
      eventually(fn -> match?({:ok, _, _}, Channel.unary(channel, @path, "x")) and fuse.() == :closed end)
    end

    defp resetting(peer, sick, lost) do
      {id, _, _, peer} = Peer.request(peer)

      if :atomics.get(sick, 1) == 1 do
        :counters.add(lost, 1, 1)
        peer |> Peer.say(reset(id, 2)) |> resetting(sick, lost)
      else
        peer |> Peer.answer(id, "well") |> resetting(sick, lost)
      end
    end

    test "does not hold back the only address there is" do
      [{one, first}] = servers(1)
      lost = :counters.new(1, [])
      spawn_link(fn -> resetting(Peer.accept(one), :atomics.new(1, []) |> tap(&:atomics.put(&1, 1, 1)), lost) end)
      channel = channel(first, breaker: [failures: 2, cooldown: 10_000])
      for _ <- 1..10, do: assert({:error, %Status{code: 13}} = Channel.unary(channel, @path, ""))
      assert :counters.get(lost, 1) == 10
    end
  end

  describe "TLS" do
    setup do
      host = List.to_string(:net_adm.localhost())
      strong = [digest: :sha256, key: {:rsa, 2_048, 65_537}]
      chain = %{root: strong, intermediates: [], peer: strong}

      %{server_config: server, client_config: client} =
        :public_key.pkix_test_data(%{server_chain: chain, client_chain: chain})

      %{host: host, server: server, client: Keyword.take(client, [:cacerts])}
    end

    test "is spoken, with h2 agreed on", %{host: host, server: server, client: client} do
      {listener, port} = Peer.listen_tls(server ++ [alpn_preferred_protocols: ["h2"]])
      channel = channel({:tls, "127.0.0.1", port, client ++ [server_name_indication: String.to_charlist(host)]})
      peer = Peer.accept_tls(listener)
      large = :rand.bytes(16_000)
      call = ask(channel, "ask")
      {1, fields, _, peer} = Peer.request(peer)
      assert fields[":scheme"] == "https"
      assert fields[":authority"] == "#{host}:#{port}"
      Peer.answer(peer, 1, large)
      assert {:ok, answer, _} = Task.await(call)
      assert answer == large
    end

    test "without h2, or with a certificate of somebody else, is no connection", %{
      host: host,
      server: server,
      client: client
    } do
      {listener, port} = Peer.listen_tls(server)
      channel = channel({:tls, "127.0.0.1", port, client ++ [server_name_indication: String.to_charlist(host)]})
      call = ask(channel, "")
      spawn_link(fn -> :ssl.transport_accept(listener, 5_000) |> elem(1) |> :ssl.handshake(5_000) end)
      assert {:error, %Status{code: 14, sent: :no, message: message}} = Task.await(call)
      assert message =~ "ALPN"

      {listener, port} = Peer.listen_tls(server ++ [alpn_preferred_protocols: ["h2"], log_level: :none])
      channel = channel({:tls, "127.0.0.1", port, client ++ [server_name_indication: ~c"other.test", log_level: :none]})
      call = ask(channel, "")
      spawn_link(fn -> :ssl.transport_accept(listener, 5_000) |> elem(1) |> :ssl.handshake(5_000) end)
      assert {:error, %Status{code: 14, sent: :no, message: message}} = Task.await(call)
      assert message =~ "TLS"
    end
  end
end
