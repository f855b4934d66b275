defmodule Sidewinder.NamesTest do
  @moduledoc """
  Names of services that mean other daemons after a while: real daemons, and a name server that others wrote. dnsmasq is
  looked for on the path; `tests/setup.sh` installs it.
  """
  use ExUnit.Case, async: true

  alias Sidewinder.Test.RealDaemon

  @dnsmasq System.find_executable("dnsmasq") || Enum.find(["/usr/sbin/dnsmasq"], &File.exists?/1)
  @name "_grpc._tcp.pool.test"
  @patience 20_000

  if @dnsmasq do
    import Sidewinder.Test.RealDaemon, only: [eventually: 1]

    test "calls and the lease follow the name" do
      [one, two] = for _ <- 1..2, do: RealDaemon.start(["--tcp", "127.0.0.1:0", "--mode", "distributed"])
      port = free_port()
      names = serve(port, one)
      dns = [nameservers: [{{127, 0, 0, 1}, port}], timeout: 500, retry: 1]
      channel = [dns: dns, resolve_every: 50]
      client = RealDaemon.client(one, address: "srv:" <> @name, channel: channel)
      run = fn daemon -> Sidewinder.status(RealDaemon.client(daemon)) |> elem(1) |> Map.fetch!(:run) end
      [first, second] = Enum.map([one, two], run)
      seen = fn -> with {:ok, %{run: run}} <- Sidewinder.status(client), do: run end
      assert seen.() == first
      assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})

      # While nobody answers for names, what is known holds.
      stop(names)
      assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
      assert seen.() == first

      serve(port, two)
      eventually(fn -> seen.() == second end)
      assert {:ok, 3} = Sidewinder.call(client, "add", %{a: 1, b: 2})
      place = "127.0.0.1:#{RealDaemon.port(two)}"
      eventually(fn -> match?({:ok, %{lease: %{leases: [%{daemon: ^place}]}}}, Sidewinder.status(client)) end)
    end

    # Both kinds of sockets are wanted of it.
    defp free_port do
      {:ok, socket} = :gen_udp.open(0, ip: {127, 0, 0, 1})
      {:ok, port} = :inet.port(socket)
      :ok = :gen_udp.close(socket)
      port
    end

    defp serve(port, daemon) do
      args =
        ~w(--keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --log-facility=-) ++
          ~w(--pid-file= --listen-address=127.0.0.1 --port=#{port} --host-record=a.pool.test,127.0.0.1) ++
          ["--srv-host=#{@name},a.pool.test,#{RealDaemon.port(daemon)}"]

      options = [:binary, :exit_status, :stderr_to_stdout, line: 1_000, args: args]
      server = Port.open({:spawn_executable, @dnsmasq}, options)
      {:os_pid, pid} = Port.info(server, :os_pid)
      on_exit(fn -> System.cmd("kill", ["-9", "#{pid}"], stderr_to_stdout: true) end)
      started(server)
      {server, pid}
    end

    defp started(server) do
      receive do
        {^server, {:data, {_, line}}} -> if line =~ "started, version", do: :ok, else: started(server)
        {^server, {:exit_status, status}} -> raise "dnsmasq ended with #{status}"
      after
        @patience -> raise "dnsmasq did not start"
      end
    end

    defp stop({server, pid}) do
      {_, 0} = System.cmd("kill", ["-9", "#{pid}"])
      assert_receive {^server, {:exit_status, _}}, @patience
    end
  else
    IO.puts("names: no dnsmasq here, so no name server of others was asked (tests/setup.sh gets it)")
  end
end
