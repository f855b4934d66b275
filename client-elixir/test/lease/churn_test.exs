defmodule Sidewinder.Lease.ChurnTest do
  @moduledoc "A client under everything at once, with a real daemon that dies now and then: nothing is left but its lease."
  use ExUnit.Case, async: false

  alias Sidewinder.{Chance, Churn, Client}
  alias Sidewinder.Test.RealDaemon

  setup do
    daemon = RealDaemon.start()
    %{daemon: daemon, client: RealDaemon.client(daemon, wait: 20_000)}
  end

  test "random callers leave nothing behind", %{client: client} do
    Chance.many("callers of a client", 2, fn -> Churn.round_of(client, 20, 20) end)
    nothing_left(client)
  end

  @tag :soak
  @tag timeout: :infinity
  test "hours of random callers leave nothing behind, in flat memory", %{client: client, daemon: daemon} do
    for _ <- 1..3, do: Churn.round_of(client, 20, 40)
    nothing_left(client)
    before = Churn.weight()

    daemon =
      Churn.soak(daemon, fn number, daemon ->
        Chance.many("callers of a client", 1, fn -> Churn.round_of(client, 20, 40) end)
        # Now and then the daemon dies, or the lease does.
        daemon = if rem(number, 10) == 0, do: again(daemon), else: daemon
        if rem(number, 3) == 0, do: Process.exit(Process.whereis(Client.part(client, :Lease)), :kill)
        :ok = Sidewinder.wait_ready(client)
        daemon
      end)

    nothing_left(client)
    Churn.same_weight(before)
    RealDaemon.kill(daemon)
  end

  # A cast goes on for a moment, and an ended lease is made anew.
  defp nothing_left(client) do
    RealDaemon.eventually(fn -> Task.Supervisor.children(Client.part(client, :Casts)) == [] end)
    assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1})
    Churn.nothing_left(Client.part(client, :Channel), 1)
    assert :sys.get_state(Client.part(client, :Bell)).listeners == %{}
    assert :sys.get_state(Client.part(client, :Lease)).waiting == []
  end

  defp again(daemon) do
    RealDaemon.kill(daemon)
    daemon = RealDaemon.start_at(daemon.folder, daemon.socket, [])
    on_exit({:daemon, daemon.folder}, fn -> RealDaemon.kill(daemon) end)
    daemon
  end
end
