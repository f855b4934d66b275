defmodule Sidewinder.Lease.SeveralTest do
  @moduledoc "A client of several real daemons: a lease with each of them."
  use ExUnit.Case, async: true

  import Sidewinder.Test.RealDaemon, only: [eventually: 1]

  alias Sidewinder.{Client, Error}
  alias Sidewinder.Test.RealDaemon

  setup do
    %{daemon: RealDaemon.start()}
  end

  test "with several daemons each grants a lease, and calls go to all of them", %{daemon: daemon} do
    other = RealDaemon.start()
    client = of_both(daemon, other)
    seen = fn _ -> elem(Sidewinder.status(client), 1).run end
    runs = 1..40 |> Task.async_stream(seen, max_concurrency: 20) |> Enum.map(&elem(&1, 1)) |> Enum.uniq()
    assert length(runs) == 2
    for a <- 1..40, do: assert({:ok, ^a} = Sidewinder.call(client, "add", %{a: a, b: 0}))
    RealDaemon.kill(other)
    answers = for a <- 1..40, do: {a, Sidewinder.call(client, "add", %{a: a, b: 0})}
    lost = for {a, answer} <- answers, answer != {:ok, a}, do: answer
    # Nothing but the connection itself may tell of the death: one call that was written before is lost with it, and is
    # told so. What was not written goes to the daemon that lives, and so does everything afterwards.
    assert Enum.all?(lost, &match?({:error, %Error{reason: :unavailable, ran: :maybe}}, &1)), inspect(lost)
    assert length(lost) <= 1
    for a <- 1..40, do: assert({:ok, ^a} = Sidewinder.call(client, "add", %{a: a, b: 0}))
  end

  test "of several daemons each is told that the client stops", %{daemon: daemon} do
    other = RealDaemon.start()
    watcher = RealDaemon.client(other)
    :ok = Sidewinder.subscribe(watcher)
    client = of_both(daemon, other, client_name: "both")
    assert_receive {:sidewinder, ^watcher, %{what: :client_attached}}
    :ok = stop_supervised(client)
    assert_receive {:sidewinder, ^watcher, %{what: :client_detached, facts: %{"client" => "both"}}}
  end

  test "a call whose lease one of several daemons has ended goes on at once", %{daemon: daemon} do
    other = RealDaemon.start()
    client = of_both(daemon, other)
    seen = Client.fetch!(client)
    held = Client.each(seen, :lease)
    assert [{_, {one, _}}, {_, {two, _}}] = held
    assert one != two
    :ok = Sidewinder.subscribe(client)
    # What is written there is what calls say: of one daemon, then of both.
    for wrong <- [[hd(held)], held], {address, _} <- wrong do
      Client.note(seen, {:lease, address}, {"0123456789ab-9", 1})
    end

    for a <- 1..10, do: assert({:ok, ^a} = Sidewinder.call(client, "add", %{a: a, b: 0}))
    for _ <- 1..10, do: assert([0, 1] = Enum.to_list(Sidewinder.stream(client, "count", %{until: 2})))
    assert {:ok, 6} = Sidewinder.upload(client, "total", [1, 2, 3])
    eventually(fn -> Enum.sort(Client.each(seen, :lease)) == Enum.sort(held) end)
    # It is told which of them an event is of.
    assert {:error, %Error{reason: :worker_died}} = Sidewinder.call(client, "leave", %{status: 7})
    assert_receive {:sidewinder, ^client, %{what: :worker_gone, daemon: place}}
    assert place in ["unix:" <> daemon.socket, "unix:" <> other.socket]
  end

  test "of several daemons the one that ran a call is asked for its ending", %{daemon: daemon} do
    client = of_both(daemon, RealDaemon.start())

    for n <- 1..6, do: assert({:ok, ^n} = Sidewinder.call(client, "add", %{a: n, b: 0}, idempotency_key: "k-#{n}"))
    for n <- 1..6, do: assert({:ok, ^n} = Sidewinder.result(client, "k-#{n}"))
    assert {:error, %Error{reason: :unknown_key, ran: :no}} = Sidewinder.result(client, "k-7")
  end

  test "several daemons that want no such client say why", %{daemon: daemon} do
    other = RealDaemon.start()
    name = :"modes_#{System.unique_integer([:positive])}"
    address = [daemon.socket, other.socket]
    start_supervised!({Sidewinder, name: name, address: address, mode: :supervised, wait: 500})
    assert {:error, %Error{reason: :not_attached, ran: :no} = error} = Sidewinder.call(name, "add", %{a: 1})
    assert Exception.message(error) =~ "mode"
  end

  test "two addresses of one daemon are two leases, and neither takes the other's place", %{daemon: daemon} do
    link = Path.join(daemon.folder, "l.sock")
    File.ln_s!(daemon.socket, link)
    client = of_both(daemon, %{socket: link})
    assert {:ok, %{clients: 2}} = Sidewinder.status(client)
    :ok = Sidewinder.subscribe(client)
    for a <- 1..20, do: assert({:ok, ^a} = Sidewinder.call(client, "add", %{a: a, b: 0}))
    refute_received {:sidewinder, ^client, %{what: :lost}}
  end

  defp of_both(daemon, other, options \\ []) do
    client = RealDaemon.client(daemon, [address: [daemon.socket, other.socket]] ++ options)
    eventually(fn -> length(Client.each(Client.fetch!(client), :lease)) == 2 end)
    client
  end
end
