defmodule Sidewinder.OptionsTest do
  @moduledoc "Options: everything that is wrong, at once, and the documentation that is the same table."
  use ExUnit.Case, async: true

  alias Sidewinder.Options

  test "every problem is told at once, with what is allowed and what was meant" do
    error =
      assert_raise ArgumentError, fn ->
        Sidewinder.start_link(mode: :coupld, tiemout: 5, retries: -1, labels: %{a: 1}, name: "text", values: [Nothing])
      end

    for part <- [
          "this client cannot be started:",
          "mode: :coupld is not what belongs here: one of :auto, :coupled",
          "tiemout: there is no such option; did you mean :timeout?",
          "retries: -1 is not what belongs here: a whole number, 0 or more",
          "labels: %{a: 1} is not what belongs here: a map from text to text",
          "name: \"text\" is not what belongs here: an atom",
          "values: [Nothing] is not what belongs here"
        ] do
      assert error.message =~ part
    end
  end

  test "options of a call as well" do
    error = assert_raise(ArgumentError, fn -> Options.call!(timeout: 1.5, affinity_mode: :hint, priority: :most) end)
    assert error.message =~ "timeout: 1.5 is not what belongs here: milliseconds, or :infinity"
    assert error.message =~ "priority: :most is not what belongs here: one of :low, :normal, :high"
    error = assert_raise(ArgumentError, fn -> Options.call!(affinity_mode: :hint) end)
    assert error.message =~ "there is none"
    assert_raise ArgumentError, ~r/said twice/, fn -> Options.call!(timeout: 1, timeout: 2) end
    assert_raise ArgumentError, ~r/keyword list/, fn -> Options.call!(%{timeout: 1}) end
    assert Options.call!(timeout: nil, pool: "p") == %{pool: "p"}
  end

  test "what is checked is documented" do
    docs = Options.docs(:client) <> Options.docs(:call)

    for option <- ~w(name mode address daemon lease timeout retries content_type idempotency_key on_abandon max_casts) do
      assert docs =~ "`:#{option}`"
    end

    assert docs =~ "Default: `60000`"
    refute docs =~ ":transport"
  end

  test "addresses" do
    assert {:ok, [{:unix, "/a b.sock"}]} = Options.addresses("/a b.sock")
    assert {:ok, [{:unix, path}]} = Options.addresses("unix:rel.sock")
    assert path == Path.expand("rel.sock")
    assert {:ok, [{:tls, "h", 1, []}, {:srv, "_s._tcp.x"}]} = Options.addresses(["tls:h:1", "srv:_s._tcp.x"])
    assert {:ok, [{:tcp, "::1", 70}]} = Options.addresses("[::1]:70")
    assert {:ok, [{:unix, default}]} = Options.addresses(nil)
    assert Path.basename(default) == "sidewinder.sock"

    for wrong <- ["", "host", "host:", "host:0", "host:99999", [], :atom, "dns:"],
        do: assert({:error, _} = Options.addresses(wrong))
  end

  test "modes: what is picked, why, and what does not go together" do
    choose = fn options ->
      {:ok, options} = Options.client(options)
      Sidewinder.Client.Mode.choose(options)
    end

    assert {:ok, %{name: :any, daemon: nil}} = choose.([])
    assert {:ok, %{name: :any}} = choose.(address: "127.0.0.1:7070")
    assert {:ok, %{name: :distributed, why: why}} = choose.(address: "dns:models:7070")
    assert why =~ "another machine"
    several? = fn options -> options |> choose.() |> elem(1) |> Sidewinder.Client.Mode.several?() end
    assert several?.(address: "dns:models:7070") and several?.(address: ["/a.sock", "/b.sock"])
    refute several?.(address: "/a.sock") or several?.([])
    assert {:ok, %{name: :supervised}} = choose.(mode: :supervised, address: "/x.sock")
    assert {:error, [problem]} = choose.(mode: :independent, daemon: [tools: ["shop"]])
    assert problem =~ "nothing is started here"
    assert {:error, [problem]} = choose.(mode: :coupled, daemon: [tools: ["shop"]], address: "h:1")
    assert problem =~ "one unix socket"
    assert {:error, problems} = choose.(mode: :coupled, daemon: [tool: "shop", binary: "/nowhere/sidewinder"])
    assert Enum.any?(problems, &(&1 =~ "there is no option tool"))
    assert Enum.any?(problems, &(&1 =~ "it would serve nothing"))
    assert Enum.any?(problems, &(&1 =~ "/nowhere/sidewinder, which is no program"))

    assert {:ok, %{name: :coupled, daemon: daemon, endpoints: [{:unix, socket}]}} =
             choose.(daemon: [tools: ["shop"], binary: "/bin/sh"])

    assert daemon.socket == socket
    assert ["run", "--mode", "coupled", "--socket", ^socket, "--tools", "shop"] = daemon.args
  end

  test "a client that is not there is told apart from a call that goes wrong" do
    assert_raise ArgumentError, ~r/no client :nobody_here is started/, fn ->
      Sidewinder.call(:nobody_here, "add", %{})
    end
  end
end
